using System.Globalization;
using System.Text;
using Byre.Blockdev;
using Byre.Cli.Img;
using Byre.Nbd;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Cli.Serve;

/// <summary>-L: what another server exports, laid out as qemu-nbd does.</summary>
internal static class ServerListing
{
    /// <summary>The words for the bits of an export's flags, by bit.</summary>
    private static readonly string?[] FlagWords =
    [
        null, "readonly", "flush", "fua", "rotational", "trim", "zeroes", "df", "multi", "resize", "cache", "fast-zero", "block-status-payload",
    ];

    /// <summary>Lists.</summary>
    /// <exception cref="ImgFailure">The server cannot be asked.</exception>
    public static async Task<int> RunAsync(ServeOptions options, ObjectStore objects, TextWriter output)
    {
        if (options.Bind is "")
        {
            throw new ImgFailure("invalid --bind '': it is the name or address of a server");
        }

        var address = options.SocketPath is { } path ? NbdAddress.Unix(path) : NbdAddress.Tcp(options.Bind ?? "127.0.0.1", options.Port ?? NbdLimits.DefaultPort);
        var client = await NbdClient.ConnectAsync(new NbdClientOptions
        {
            Address = address,
            OptionMode = true,
            Security = options.TlsCredentials is { } id ? objects.TlsClient(id) : null,
            TlsHostName = options.TlsHostName,
        }).ConfigureAwait(false);
        var text = new StringBuilder();
        await using (client.ConfigureAwait(false))
        {
            if (client.IsOldStyle)
            {
                // Such a server has one export, and says what it is before it is asked anything.
                await client.GoAsync().ConfigureAwait(false);
                text.Append("exports available: 1\n export: ''\n");
                Add(text, client.Facts, client.HeaderStyle, []);
            }
            else
            {
                await ListAsync(client, text).ConfigureAwait(false);
            }
        }

        await output.WriteAsync(PlainText.Of(text.ToString())).ConfigureAwait(false);
        return 0;
    }

    private static async Task ListAsync(NbdClient client, StringBuilder text)
    {
        var exports = await client.ListExportsAsync().ConfigureAwait(false);
        text.Append(CultureInfo.InvariantCulture, $"exports available: {exports.Count}\n");
        foreach (var export in exports)
        {
            text.Append(CultureInfo.InvariantCulture, $" export: '{export.Name}'\n");
            if (await InfoAsync(client, export.Name).ConfigureAwait(false) is not { } facts)
            {
                AddDescription(text, export.Description);
                continue;
            }

            AddDescription(text, facts.Description ?? export.Description);
            var contexts = client.HeaderStyle == NbdHeaderStyle.Simple ? []
                : await client.ListMetaContextsAsync([], export.Name).ConfigureAwait(false);
            Add(text, facts, client.HeaderStyle, contexts);
        }
    }

    private static async Task<NbdExportFacts?> InfoAsync(NbdClient client, string name)
    {
        try
        {
            return await client.InfoAsync(name).ConfigureAwait(false);
        }
        catch (BlockException e) when (e.Code == ErrorCode.NotSupported)
        {
            return null;
        }
    }

    private static void AddDescription(StringBuilder text, string? description)
    {
        if (description is { Length: > 0 })
        {
            text.Append(CultureInfo.InvariantCulture, $"  description: {description}\n");
        }
    }

    private static void Add(StringBuilder text, NbdExportFacts facts, NbdHeaderStyle style, IReadOnlyList<NbdMetaContext> contexts)
    {
        var flags = (ushort)facts.Flags;
        AddFlags(text, facts.Size, flags);
        if (facts.BlockSize is { } sizes)
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"  min block: {sizes.Minimum}\n  opt block: {sizes.Preferred}\n  max block: {sizes.MaximumPayload}\n");
        }

        text.Append("  transaction size: ").Append(style == NbdHeaderStyle.Extended ? "64-bit\n" : "32-bit\n");
        AddState(text, facts.InitialState);
        if (contexts.Count > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"  available meta contexts: {contexts.Count}\n");
            foreach (var context in contexts)
            {
                text.Append("   ").Append(context.Name).Append('\n');
            }
        }
    }

    private static void AddFlags(StringBuilder text, long size, ushort flags)
    {
        if ((flags & (ushort)NbdTransmissionFlags.HasFlags) == 0)
        {
            return; // the server says nothing of itself
        }

        text.Append(CultureInfo.InvariantCulture, $"  size:  {size}\n  flags: 0x{flags:x} (");
        for (var bit = 0; bit < FlagWords.Length; bit++)
        {
            if ((flags >> bit & 1) != 0 && FlagWords[bit] is { } word)
            {
                text.Append(' ').Append(word);
            }
        }

        text.Append(" )\n");
    }

    private static void AddState(StringBuilder text, NbdInitialState? state)
    {
        if (state is null or NbdInitialState.None)
        {
            return;
        }

        text.Append("  initial state:")
            .Append((state & NbdInitialState.Sparse) != 0 ? " sparse" : "")
            .Append((state & NbdInitialState.Zero) != 0 ? " zero" : "")
            .Append('\n');
    }
}
