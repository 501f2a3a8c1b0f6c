using Byre.Cli.Img;
using Byre.Cli.Io;
using Byre.Cli.NbdTools;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Cli.NbdInfo;

/// <summary>nbdinfo: what an NBD server and its exports are.</summary>
internal sealed class NbdInfoCommand
{
    private const int False = 2;
    private const int Failed = 1;

    private static readonly NbdToolProgram Tool = new(
        "nbdinfo",
        [
            new("json", '\0'), new("list", 'L'), new("map", '\0', ImgValue.Optional), new("totals", '\0'), new("size", '\0'),
            new("is", '\0', ImgValue.Required), new("can", '\0', ImgValue.Required), new("has", '\0', ImgValue.Required),
            new("content", '\0'), new("no-content", '\0'),
        ],
        Help,
        RunAsync);

    private readonly string program;
    private readonly IoStdout output;
    private readonly ImgArguments options;
    private readonly Paint paint;
    private readonly NbdTarget target;

    private NbdInfoCommand(string program, IoStdout output, NbdToolWords words)
    {
        this.program = program;
        this.output = output;
        options = words.Options;
        paint = Paint.For(options);
        target = words.Target();
    }

    /// <summary>Runs it.</summary>
    /// <param name="words">What follows the program's name.</param>
    /// <param name="program">The program's name in errors and the help.</param>
    public static Task<int> RunAsync(IReadOnlyList<string> words, string program) => Tool.RunAsync(words, program);

    private static Task<int> RunAsync(string program, IoStdout output, NbdToolWords parsed)
    {
        CheckTogether(parsed.Options);
        return new NbdInfoCommand(program, output, parsed).RunAsync();
    }

    private static void CheckTogether(ImgArguments options)
    {
        var modes = new[] { options.Has("list"), options.Has("map"), options.Has("size"), Questions(options).Count > 0 }.Count(mode => mode);
        if (modes > 1)
        {
            throw new ImgUsageException("only one of --list, --map, --size and --is, --can, --has can be wanted");
        }

        if (options.Has("totals") && !options.Has("map"))
        {
            throw new ImgUsageException("--totals goes with --map only");
        }

        if (options.Has("content") && options.Has("no-content"))
        {
            throw new ImgUsageException("--content and --no-content do not go together");
        }
    }

    private static List<string> Questions(ImgArguments options) =>
        [.. options.Options.Where(option => option.Name is "is" or "can" or "has").Select(option => option.Value!)];

    private Task<int> RunAsync() => options.Has("size") ? SizeAsync()
        : options.Has("map") ? MapAsync(options.Value("map") ?? NbdContextNames.BaseAllocation)
        : Questions(options) is [.., var question] ? AskAsync(question)
        : options.Has("list") ? ListAsync() : ShowAsync();

    private async Task<int> SizeAsync()
    {
        var connection = await target.ConnectAsync(o => o).ConfigureAwait(false);
        await using (connection.ConfigureAwait(false))
        {
            output.Write($"{connection.Client.Size}\n");
        }

        return 0;
    }

    private async Task<int> AskAsync(string question)
    {
        // Extended headers replace structured replies: who asks for those means any replies in chunks.
        var connection = await target.ConnectAsync(o => o).ConfigureAwait(false);
        await using (connection.ConfigureAwait(false))
        {
            var answer = ExportFlags.Answer(question, connection.Client)
                ?? throw new ImgUsageException($"'{question}' is nothing that --is, --can or --has knows");
            return answer ? 0 : False;
        }
    }

    private async Task<int> MapAsync(string name)
    {
        var bitmaps = name == NbdContextNames.Joint ? await BitmapsAsync().ConfigureAwait(false) : [];
        var connection = await target.ConnectAsync(o => o with { MetaContexts = [name] }).ConfigureAwait(false);
        await using (connection.ConfigureAwait(false))
        {
            if (connection.Client.Contexts.Count == 0)
            {
                throw new BlockException(ErrorCode.NotSupported, $"--map: the server does not offer the metadata context '{name}'");
            }

            var map = new MapReport(output, new MapWords(name, bitmaps, paint), paint, options.Has("json"));
            await (options.Has("totals") ? map.TotalAsync(connection.Client) : map.ListAsync(connection.Client)).ConfigureAwait(false);
        }

        return 0;
    }

    /// <summary>The bitmaps that byre:joint tells of, in the order of their bits: that in which the server lists them.</summary>
    private async Task<IReadOnlyList<string>> BitmapsAsync()
    {
        var connection = await target.ConnectAsync(o => o with { OptionMode = true }).ConfigureAwait(false);
        await using (connection.ConfigureAwait(false))
        {
            var contexts = await ContextsAsync(connection.Client, target.ExportName).ConfigureAwait(false);
            return [.. contexts.Where(c => c.StartsWith(NbdContextNames.DirtyBitmapPrefix, StringComparison.Ordinal))
                .Select(c => c[NbdContextNames.DirtyBitmapPrefix.Length..])];
        }
    }

    private async Task<int> ShowAsync()
    {
        var writer = Writer();
        var connection = await target.ConnectAsync(ForReport).ConfigureAwait(false);
        await using (connection.ConfigureAwait(false))
        {
            var client = connection.Client;
            writer.Begin(ServerReport.Of(client));
            try
            {
                writer.Add(await ReportAsync(client, target.ExportName, WantsContent(byDefault: true)).ConfigureAwait(false));
            }
            catch (BlockException e) when (e.Code == ErrorCode.NotFound)
            {
                throw new BlockException(e.Code, $"{e.Message} (--list shows the exports there are)");
            }

            writer.End();
        }

        return 0;
    }

    private async Task<int> ListAsync()
    {
        var writer = Writer();
        var status = 0;
        IReadOnlyList<NbdListedExport> exports;
        var wantsContent = WantsContent(byDefault: false);
        var connection = await target.ConnectAsync(ForReport).ConfigureAwait(false);
        await using (connection.ConfigureAwait(false))
        {
            exports = await connection.Client.ListExportsAsync().ConfigureAwait(false);
            writer.Begin(ServerReport.Of(connection.Client));
        }

        foreach (var export in exports)
        {
            try
            {
                // A connection each, since GO ends what can be asked on one.
                var one = await target.ConnectAsync(ForReport).ConfigureAwait(false);
                await using (one.ConfigureAwait(false))
                {
                    var report = await ReportAsync(one.Client, export.Name, wantsContent).ConfigureAwait(false);
                    writer.Add(report.Facts.Description is null ? report with { Facts = report.Facts with { Description = export.Description } } : report);
                }
            }
            catch (BlockException e)
            {
                // The others are told of all the same.
                using var errors = new StandardError();
                errors.WriteLine($"{program}: {e.Message}");
                status = Failed;
            }
        }

        writer.End();
        return status;
    }

    private async Task<ExportReport> ReportAsync(NbdClient client, string name, bool wantsContent)
    {
        var contexts = await ContextsAsync(client, name).ConfigureAwait(false);
        await client.GoAsync(name).ConfigureAwait(false);
        var content = wantsContent ? await ContentProbe.LookAsync(client).ConfigureAwait(false) : null;
        return new ExportReport(client.CanonicalName ?? name, client.Facts, contexts, target.Uri is { } uri ? ExportUri.Of(uri, name) : null, content);
    }

    private static async Task<IReadOnlyList<string>> ContextsAsync(NbdClient client, string export)
    {
        if (client.HandshakeStyle != NbdHandshakeStyle.FixedNewStyle || client.HeaderStyle == NbdHeaderStyle.Simple)
        {
            return [];
        }

        try
        {
            return [.. (await client.ListMetaContextsAsync([], export).ConfigureAwait(false)).Select(context => context.Name)];
        }
        catch (BlockException e) when (e.Code is not (ErrorCode.Disconnected or ErrorCode.Corrupt))
        {
            return []; // GO says it, if there is no such export
        }
    }

    /// <summary>Without extended headers: the report is the same for servers with and without them, as nbdinfo's.</summary>
    private static NbdClientOptions ForReport(NbdClientOptions options) => options with { OptionMode = true, RequestExtended = false };

    private IReportWriter Writer() => options.Has("json") ? new JsonReport(output) : new TextReport(output, paint);

    private bool WantsContent(bool byDefault) => options.Has("content") || (byDefault && !options.Has("no-content"));

    private static string Help(string program) => $"""
        usage: {program} [--json] SERVER
               {program} --list [--json] [--content] SERVER
               {program} --map[=CONTEXT] [--totals] [--json] SERVER
               {program} --size SERVER
               {program} --is|--can|--has PROPERTY SERVER

        {NbdToolProgram.ServerHelp}

          --json              print JSON
          -L, --list          tell of all exports
          --map[=CONTEXT]     print what is where, as base:allocation or another metadata
                              context tells it
          --totals            with --map: sums instead of extents
          --size              print the size in bytes
          --is PROPERTY       answer by the exit status, 0 for yes and 2 for no: read-only,
          --can PROPERTY      rotational, tls, connect, read, write, structured-reply,
          --has PROPERTY      extended-headers, cache, df, fast-zero, flush, fua, multi-conn,
                              trim, zero, init-sparse, init-zero
          --content, --no-content
                              look at the first bytes with file(1), or do not
        {NbdToolProgram.OptionHelp}

        """;
}
