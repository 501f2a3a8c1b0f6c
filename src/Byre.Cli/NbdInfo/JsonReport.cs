using Byre.Cli.Io;
using Byre.Cli.NbdTools;
using Byre.Nbd.Protocol;

namespace Byre.Cli.NbdInfo;

/// <summary>Reports as nbdinfo prints them in JSON. Nothing is printed before the first export, so that it always is JSON.</summary>
internal sealed class JsonReport(IoStdout output) : IReportWriter
{
    private string? head;
    private bool hasExports;

    /// <inheritdoc/>
    public void Begin(ServerReport server) => head =
        $"{{\n\"protocol\": {NbdJson.Quoted(server.Protocol)},\n\"TLS\": {Word(server.IsTls)},\n"
        + $"\"structured\": {Word(server.Headers != NbdHeaderStyle.Simple)},\n\"exports\": [";

    /// <inheritdoc/>
    public void Add(ExportReport export)
    {
        output.Write(hasExports ? ",\n" : head + "\n");
        hasExports = true;
        output.Write($"\t{{\n\t\"export-name\": {NbdJson.Quoted(export.Name)},\n");
        Text("description", string.IsNullOrEmpty(export.Facts.Description) ? null : export.Facts.Description);
        Text("content", export.Content);
        Text("uri", export.Uri);
        if (export.Contexts.Count > 0)
        {
            output.Write($"\t\"contexts\": [\n{string.Join(",\n", export.Contexts.Select(context => "\t\t" + NbdJson.Quoted(context)))}\n\t],\n");
        }

        output.Write($"\t\"is_rotational\": {Word(export.Facts.Has(NbdTransmissionFlags.Rotational))},\n");
        output.Write($"\t\"is_read_only\": {Word(export.Facts.Has(NbdTransmissionFlags.ReadOnly))},\n");
        foreach (var (name, flag) in ExportFlags.Abilities)
        {
            output.Write($"\t\"{name}\": {Word(export.Facts.Has(flag))},\n");
        }

        if (export.Facts.BlockSize is { } block)
        {
            output.Write(
                $"\t\"block_size_minimum\": {block.Minimum},\n\t\"block_size_preferred\": {block.Preferred},\n\t\"block_size_maximum\": {block.MaximumPayload},\n");
        }

        if (export.Facts.InitialState is { } state)
        {
            output.Write(
                $"\t\"init_sparse\": {Word((state & NbdInitialState.Sparse) != 0)},\n\t\"init_zero\": {Word((state & NbdInitialState.Zero) != 0)},\n");
        }

        output.Write($"\t\"export-size\": {export.Facts.Size},\n\t\"export-size-str\": \"{ExportSize.Short(export.Facts.Size)}\"\n\t}}");
    }

    /// <inheritdoc/>
    public void End() => output.Write(hasExports ? " ]\n}\n" : $"{head}]\n}}\n");

    private static string Word(bool value) => value ? "true" : "false";

    private void Text(string name, string? value)
    {
        if (value is not null)
        {
            output.Write($"\t\"{name}\": {NbdJson.Quoted(value)},\n");
        }
    }
}
