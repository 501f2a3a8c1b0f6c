using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using static Byre.Tests.Nbd.Server.RawClient;

namespace Byre.Tests.Nbd.Server;

/// <summary>What a hostile client can do before it has an export.</summary>
internal static class HandshakeAttacks
{
    private static readonly NbdServerOptions Hasty = new() { HandshakeLimit = TimeSpan.FromMilliseconds(800) };

    private static readonly NbdServerOptions Secure = new() { Security = new FakeSecurity(isRequired: false), HandshakeLimit = TimeSpan.FromSeconds(2) };

    public static Dictionary<string, Attack> All { get; } = new(StringComparer.Ordinal)
    {
        ["connects and says nothing"] = new(disk => disk.Connect().Read(18)),
        ["says nothing beyond the limit"] = new(disk => ExpectEndAfter(disk.Connect(), 18)) { Options = Hasty },
        ["connects and goes, 300 times"] = new(disk =>
        {
            for (var i = 0; i < 300; i++)
            {
                disk.Connect().Dispose();
            }
        }),
        ["leaves 1,000 connections half open"] = new(disk =>
        {
            for (var i = 0; i < 1000; i++)
            {
                disk.Connect();
            }
        }),
        ["sends half of its flags"] = new(disk => disk.Connect().Send(0, 0)),
        ["sends unknown flags"] = Dropped(0xffffffff),
        ["speaks HTTP"] = new(disk =>
        {
            var client = disk.Connect();
            client.Read(18);
            client.Send("GET / HTTP/1.1\r\nHost: example\r\n\r\n"u8);
            client.ExpectEnd();
        }),
        ["sends an option with the wrong magic"] = Attack.Negotiating(client =>
        {
            client.Send(new byte[16]);
            client.ExpectEnd();
        }),
        ["sends half of an option's head and goes"] = Attack.Negotiating(client =>
        {
            client.Send("IHAVEOPT\0\0"u8);
            client.Dispose();
        }),
        ["announces 4 GiB of an option's data"] = Attack.Negotiating(client =>
        {
            client.Send([.. "IHAVEOPT"u8, .. U32(99), .. U32(uint.MaxValue)]);
            client.ExpectEnd();
        }),
        ["announces 16 MiB of an option's data and sends nothing"] = Attack.Negotiating(client =>
            client.Send([.. "IHAVEOPT"u8, .. U32(7), .. U32(16 << 20)])),
        ["announces 4 GiB of a name"] = Attack.Negotiating(client =>
        {
            client.Send([.. "IHAVEOPT"u8, .. U32(1), .. U32(uint.MaxValue)]);
            client.ExpectEnd();
        }),
        ["sends 30 options of 1 MiB"] = Attack.Negotiating(client =>
        {
            for (var i = 0; i < 30; i++)
            {
                Assert.Equal(NbdOptionReply.ErrorTooBig, client.OptionOnce((NbdOption)i + 1000, new byte[1 << 20]));
            }
        }),
        ["sends an option byte by byte beyond the limit"] = new(disk =>
        {
            var client = disk.Negotiate();
            Assert.Throws<IOException>(() =>
            {
                client.Send([.. "IHAVEOPT"u8, .. U32(3), .. U32(60_000)]);
                for (var i = 0; i < 60_000; i++)
                {
                    client.Send([0]);
                    Thread.Sleep(20);
                }
            });
        }) { Options = Hasty },
        ["asks for the list with data"] = Refused(NbdOption.List, "data"u8.ToArray()),
        ["asks for an export with no data"] = Refused(NbdOption.Go, []),
        ["says that its name is longer than the data"] = Refused(NbdOption.Go, [.. U32(1000), .. "disk"u8, 0, 0]),
        ["says that its name is 4 GiB long"] = Refused(NbdOption.Go, [.. U32(uint.MaxValue), .. "disk"u8, 0, 0]),
        ["says that it has 65,535 wishes"] = Refused(NbdOption.Go, [.. Text("disk"), 255, 255, 0, 0]),
        ["has 30,000 wishes"] = Attack.Negotiating(client =>
            Assert.Equal(NbdOptionReply.Ack, client.Option(NbdOption.Info, GoData("disk", new int[30_000]))[^1].Reply)),
        ["sends a name that is no UTF-8"] = Refused(NbdOption.Go, [.. U32(4), 0xc0, 0x80, 0xff, 0xfe, 0, 0]),
        ["sends a name with NUL"] = Refused(NbdOption.Go, GoData("disk\0x")),
        ["sends a name of 64 KiB"] = Attack.Negotiating(client =>
            Assert.Equal(NbdOptionReply.ErrorTooBig, client.OptionOnce(NbdOption.Info, GoData(new string('x', 60_000))))),
        ["asks for a path instead of a name"] = Attack.Negotiating(client =>
            Assert.Equal(NbdOptionReply.ErrorUnknown, client.OptionOnce(NbdOption.Info, GoData("../../../../etc/passwd")))),
        ["asks for 5,000 exports that are not there"] = Attack.Negotiating(client =>
        {
            for (var i = 0; i < 5000; i++)
            {
                Assert.Equal(NbdOptionReply.ErrorUnknown, client.OptionOnce(NbdOption.Info, GoData("disk" + i)));
            }
        }),
        ["turns extended headers on and asks by EXPORT_NAME"] = Attack.Negotiating(client =>
        {
            client.OptionOnce(NbdOption.ExtendedHeaders);
            client.Send(OptionBytes(NbdOption.ExportName, "disk"u8));
            client.ExpectEnd();
        }),
        ["asks by EXPORT_NAME and sends options on"] = Attack.Negotiating(client =>
        {
            client.Send([.. OptionBytes(NbdOption.ExportName, "disk"u8), .. OptionBytes(NbdOption.List)]);
            client.Read(10);
            client.ExpectEnd();
        }),
        ["asks for contexts before structured replies"] = Refused(NbdOption.SetMetaContext, ContextData("disk", "base:allocation")),
        ["says that it has 4,294,967,295 queries"] = RefusedContexts([.. Text("disk"), .. U32(uint.MaxValue)]),
        ["has 16,000 empty queries"] = Attack.Negotiating(client =>
        {
            client.OptionOnce(NbdOption.StructuredReply);
            Assert.Empty(client.Select("disk", Enumerable.Repeat("", 16_000).ToArray()));
        }),
        ["says that a query is longer than the data"] = RefusedContexts([.. Text("disk"), .. U32(1), .. U32(70_000), .. "base:"u8]),
        ["asks 2,000 times for the list and never reads"] = new(disk =>
        {
            var client = disk.Negotiate();
            client.Channel.SetSendTimeout(TimeSpan.FromMilliseconds(200));
            try
            {
                for (var i = 0; i < 2000; i++)
                {
                    client.Send(OptionBytes(NbdOption.List));
                }
            }
            catch (IOException)
            {
                // The server does not read on while it is not read, or has had enough.
            }
        }) { Options = Hasty },
        ["starts TLS where there is none"] = Attack.Negotiating(client =>
            Assert.Equal(NbdOptionReply.ErrorPolicy, client.OptionOnce(NbdOption.StartTls))),
        ["starts TLS with data"] = new(disk =>
            Assert.Equal(NbdOptionReply.ErrorInvalid, disk.Negotiate().OptionOnce(NbdOption.StartTls, [1]))) { Options = Secure },
        ["sends options in the clear behind STARTTLS"] = new(disk =>
        {
            var client = disk.Negotiate();
            client.Send([.. OptionBytes(NbdOption.StartTls), .. OptionBytes(NbdOption.StructuredReply), .. OptionBytes(NbdOption.Go, GoData("disk"))]);
            client.ExpectEnd();
        }) { Options = Secure },
        ["starts TLS and goes on in the clear"] = new(disk =>
        {
            var client = disk.Negotiate();
            client.OptionOnce(NbdOption.StartTls);
            client.Send(OptionBytes(NbdOption.Go, GoData("disk")));
            client.ExpectEnd();
        }) { Options = Secure },
        ["starts TLS and says nothing more"] = new(disk => disk.Negotiate().OptionOnce(NbdOption.StartTls)) { Options = Secure },
        ["starts TLS twice"] = new(disk =>
        {
            var client = disk.Negotiate();
            client.OptionOnce(NbdOption.StartTls);
            client.Send("hello"u8);
            client.Read(7);
            Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.StartTls));
        }) { Options = Secure },
    };

    private static Attack Dropped(uint flags) => new(disk => disk.Negotiate(flags).ExpectEnd());

    private static Attack Refused(NbdOption option, byte[] data) => Attack.Negotiating(client =>
        Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(option, data)));

    private static Attack RefusedContexts(byte[] data) => Attack.Negotiating(client =>
    {
        client.OptionOnce(NbdOption.StructuredReply);
        Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.SetMetaContext, data));
    });

    private static void ExpectEndAfter(RawClient client, int bytes)
    {
        client.Read(bytes);
        client.ExpectEnd();
    }
}
