using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Changes what the header says of the backing file (qcow2 specification, "Header" and "Header extensions").</summary>
internal sealed class BackingReference(string fileName, HeaderStore headers, WritePreparation preparation, WriteBackRound round)
{
    /// <summary>Throws where the header cannot have the reference.</summary>
    public void Check(string? name, string? format)
    {
        if (name is not null && (headers.Header.Autoclear & AutoclearFeatures.RawExternalData) != 0)
        {
            throw new BlockException(
                ErrorCode.Invalid, $"The image '{fileName}' has a data file that is a raw image: it cannot have a backing file", fileName);
        }

        Change(headers.Header, name, format).ToBytes();
    }

    /// <summary>Stores the reference, behind everything that is written.</summary>
    public async ValueTask ChangeAsync(string? name, string? format)
    {
        Check(name, format);
        await preparation.RunAsync(keepAllZero: string.IsNullOrEmpty(name), keepBitmaps: true).ConfigureAwait(false);
        await round.CleanAsync().ConfigureAwait(false);
        await round.SyncAsync().ConfigureAwait(false);
        await headers.RewriteAsync(h => Change(h, name, format)).ConfigureAwait(false);
    }

    private static Qcow2Header Change(Qcow2Header header, string? name, string? format) => header with
    {
        BackingFile = string.IsNullOrEmpty(name) ? null : name,
        BackingFormat = string.IsNullOrEmpty(name) ? null : format,
    };
}
