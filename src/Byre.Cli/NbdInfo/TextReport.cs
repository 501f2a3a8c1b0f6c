using Byre.Cli.Io;
using Byre.Cli.NbdTools;
using Byre.Nbd.Protocol;

namespace Byre.Cli.NbdInfo;

/// <summary>Reports as nbdinfo prints them for people.</summary>
internal sealed class TextReport(IoStdout output, Paint paint) : IReportWriter
{
    /// <inheritdoc/>
    public void Begin(ServerReport server) => output.Write(
        $"{paint.Grey}protocol: {server.Protocol} {(server.IsTls ? "with" : "without")} TLS, using {Packets(server.Headers)} packets\n{paint.Reset}");

    /// <inheritdoc/>
    public void Add(ExportReport export)
    {
        output.Write($"{paint.BoldBlack}export={NbdJson.Quoted(export.Name)}:\n");
        if (!string.IsNullOrEmpty(export.Facts.Description))
        {
            output.Write($"\tdescription: {PlainText.LineOf(export.Facts.Description)}\n");
        }

        var (size, short_) = (export.Facts.Size, ExportSize.Short(export.Facts.Size));
        output.Write($"\texport-size: {size}{(short_.Length > 0 && char.IsLetter(short_[^1]) ? $" ({short_})" : "")}\n");
        if (export.Content is not null)
        {
            output.Write($"\tcontent: {PlainText.LineOf(export.Content)}\n");
        }

        if (export.Uri is not null)
        {
            output.Write($"\turi: {PlainText.LineOf(export.Uri)}\n");
        }

        output.Write(paint.Reset + paint.Grey);
        if (export.Contexts.Count > 0)
        {
            output.Write("\tcontexts:\n");
            foreach (var context in export.Contexts)
            {
                output.Write($"\t\t{PlainText.LineOf(context)}\n");
            }
        }

        output.Write($"\tis_rotational: {Word(export.Facts.Has(NbdTransmissionFlags.Rotational))}\n{paint.Reset}");
        output.Write($"\tis_read_only: {Word(export.Facts.Has(NbdTransmissionFlags.ReadOnly))}\n");
        foreach (var (name, flag) in ExportFlags.Abilities)
        {
            var has = export.Facts.Has(flag);
            output.Write($"{(has ? paint.Green : paint.Red)}\t{name}: {Word(has)}\n{paint.Reset}");
        }

        if (export.Facts.BlockSize is { } block)
        {
            output.Write($"\tblock_size_minimum: {block.Minimum}\n\tblock_size_preferred: {block.Preferred}\n\tblock_size_maximum: {block.MaximumPayload}\n");
        }

        if (export.Facts.InitialState is { } state)
        {
            output.Write($"\tinit_sparse: {Word((state & NbdInitialState.Sparse) != 0)}\n\tinit_zero: {Word((state & NbdInitialState.Zero) != 0)}\n");
        }
    }

    /// <inheritdoc/>
    public void End()
    {
    }

    private static string Packets(NbdHeaderStyle style) => style switch
    {
        NbdHeaderStyle.Extended => "extended",
        NbdHeaderStyle.Structured => "structured",
        _ => "simple",
    };

    private static string Word(bool value) => value ? "true" : "false";
}
