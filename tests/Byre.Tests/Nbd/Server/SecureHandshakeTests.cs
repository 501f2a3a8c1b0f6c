using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using static Byre.Tests.Nbd.Server.RawClient;

namespace Byre.Tests.Nbd.Server;

/// <summary>STARTTLS: what comes before counts for nothing, and nothing leaks before it where it is required.</summary>
public class SecureHandshakeTests
{
    private static readonly NbdServerOptions Required = new() { Security = new FakeSecurity(isRequired: true) };

    [Fact]
    public async Task Where_TLS_is_required_every_option_but_two_waits_for_it()
    {
        await using var disk = new ServedDisk(Required);
        var client = disk.Negotiate();
        foreach (var option in (NbdOption[])[
            NbdOption.List, NbdOption.Info, NbdOption.Go, NbdOption.StructuredReply, NbdOption.ListMetaContext, NbdOption.SetMetaContext,
            NbdOption.ExtendedHeaders, NbdOption.PeekExport, (NbdOption)1234])
        {
            Assert.Equal(NbdOptionReply.ErrorTlsRequired, client.OptionOnce(option, GoData("disk")));
        }

        Assert.Equal(NbdOptionReply.ErrorTlsRequired, client.OptionOnce(NbdOption.Info, new byte[100_000]));
        Start(client);
        Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.StartTls));
        client.Enter("disk", NbdHeaderStyle.Extended, "base:allocation");
        Assert.Equal(disk.Content[..100], client.Request(NbdCommand.Read, 0, 100).Data);
    }

    [Fact]
    public async Task Where_TLS_is_required_a_name_in_the_clear_ends_the_connection()
    {
        await using var disk = new ServedDisk(Required);
        var client = disk.Negotiate();
        client.Send(OptionBytes(NbdOption.ExportName, "disk"u8));
        client.ExpectEnd();
        Assert.Equal(NbdOptionReply.Ack, disk.Negotiate().OptionOnce(NbdOption.Abort));
    }

    [Fact]
    public async Task What_was_negotiated_in_the_clear_does_not_count()
    {
        await using var disk = new ServedDisk(new NbdServerOptions { Security = new FakeSecurity(isRequired: false) });
        var client = disk.Negotiate();
        client.OptionOnce(NbdOption.StructuredReply);
        client.Select("disk", "base:allocation");
        Start(client);
        Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.SetMetaContext, ContextData("disk", "base:allocation")));
        client.Enter("disk", NbdHeaderStyle.Simple);
        Assert.Equal(disk.Content[..100], client.Request(NbdCommand.Read, 0, 100).Data);
        Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.BlockStatus, 0, 512).Error);

        // Neither do contexts come back with structured replies.
        var again = disk.Negotiate();
        again.OptionOnce(NbdOption.StructuredReply);
        again.Select("disk", "base:allocation");
        Start(again);
        again.Enter("disk", NbdHeaderStyle.Structured);
        Assert.Equal(NbdError.Invalid, again.Request(NbdCommand.BlockStatus, 0, 512).Error);

        var plain = disk.Use(NbdHeaderStyle.Structured);
        Assert.Equal(disk.Content[..100], plain.Request(NbdCommand.Read, 0, 100).Data);
    }

    /// <summary>What comes in the clear together with STARTTLS must not be taken for what came through TLS.</summary>
    [Fact]
    public async Task Bytes_behind_STARTTLS_end_the_connection()
    {
        await using var disk = new ServedDisk(Required);
        var client = disk.Negotiate();
        client.Send([.. OptionBytes(NbdOption.StartTls), .. "hello"u8, .. OptionBytes(NbdOption.List)]);
        client.ExpectEnd();
        Assert.Contains(disk.Log, line => line.Contains("STARTTLS", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_handshake_that_fails_ends_the_connection()
    {
        await using var disk = new ServedDisk(Required);
        var client = disk.Negotiate();
        Assert.Equal(NbdOptionReply.Ack, client.OptionOnce(NbdOption.StartTls));
        client.Send(OptionBytes(NbdOption.List));
        client.ExpectEnd();
    }

    [Theory]
    [InlineData("CN=friend", true)]
    [InlineData("CN=stranger", false)]
    [InlineData(null, false)]
    public async Task Who_may_use_the_server_is_decided_by_the_name_in_TLS(string? name, bool allowed)
    {
        await using var disk = new ServedDisk(
            new NbdServerOptions { Security = new FakeSecurity(isRequired: false, name), Authorize = peer => peer == "CN=friend" });
        Assert.Equal(NbdOptionReply.ErrorPolicy, disk.Negotiate().OptionOnce(NbdOption.List));
        var bare = disk.Negotiate();
        bare.Send(OptionBytes(NbdOption.ExportName, "disk"u8));
        bare.ExpectEnd();
        var client = disk.Negotiate();
        Start(client);
        if (allowed)
        {
            client.Enter("disk", NbdHeaderStyle.Simple);
        }
        else
        {
            client.ExpectEnd();
        }
    }

    /// <summary>What was decided before the client had a name does not hold for who has one, in neither direction.</summary>
    [Theory]
    [InlineData("CN=friend", false, true)]
    [InlineData("CN=stranger", true, false)]
    public async Task Who_is_asked_again_after_TLS(string name, bool allowedBefore, bool allowedAfter)
    {
        await using var disk = new ServedDisk(new NbdServerOptions
        {
            Security = new FakeSecurity(isRequired: false, name),
            Authorize = peer => peer is null ? allowedBefore : peer == "CN=friend",
        });
        var client = disk.Negotiate();
        Assert.Equal(allowedBefore ? NbdOptionReply.Ack : NbdOptionReply.ErrorPolicy, client.Option(NbdOption.Info, GoData("disk"))[^1].Reply);
        Start(client);
        if (allowedAfter)
        {
            client.Enter("disk", NbdHeaderStyle.Simple);
        }
        else
        {
            client.ExpectEnd();
        }
    }

    private static void Start(RawClient client)
    {
        Assert.Equal(NbdOptionReply.Ack, client.OptionOnce(NbdOption.StartTls));
        client.Send("hello"u8);
        Assert.Equal("welcome"u8.ToArray(), client.Read(7));
    }
}
