using Byre.Crypto;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Formats.Qcow2.Data;

/// <summary>
/// Guest data that is stored encrypted, in sectors of 512 bytes. What LUKS makes of a sector depends on where it lies in the
/// file; what the old AES encryption makes of it, on where the guest sees it.
/// </summary>
/// <param name="data">The file that stores guest data.</param>
/// <param name="crypt">Encrypts and decrypts; null where the image was opened without its passphrase.</param>
/// <param name="countsGuestSectors">The encryption is the old one.</param>
internal sealed class EncryptedClusters(BlockEdge data, SectorCrypt? crypt, bool countsGuestSectors)
{
    private const int Sector = SectorCrypt.Sector;
    private const int Piece = 1 << 20;

    /// <summary>Reads; fills the whole buffer.</summary>
    /// <param name="host">Where it is in the file; a multiple of 512.</param>
    /// <param name="guest">Where the guest sees it; a multiple of 512.</param>
    /// <param name="buffer">Whole sectors, unless the disk ends within one.</param>
    public async ValueTask ReadAsync(long host, long guest, Memory<byte> buffer)
    {
        var engine = crypt ?? throw NoKey();
        var position = countsGuestSectors ? guest : host;
        var whole = buffer.Length & -Sector;
        if (whole > 0)
        {
            await PaddedReads.ReadAsync(data, host, buffer[..whole]).ConfigureAwait(false);
            engine.Decrypt(buffer.Span[..whole], position);
        }

        if (whole < buffer.Length)
        {
            using var last = BufferPool.Rent(Sector);
            await PaddedReads.ReadAsync(data, host + whole, last.Memory).ConfigureAwait(false);
            engine.Decrypt(last.Memory.Span, position + whole);
            last.Memory.Span[..(buffer.Length - whole)].CopyTo(buffer.Span[whole..]);
        }
    }

    /// <summary>Writes. Where the disk ends within a sector, the rest of the sector becomes zero.</summary>
    /// <param name="host">As for reading.</param>
    /// <param name="guest">As for reading.</param>
    /// <param name="bytes">As for reading.</param>
    public async ValueTask WriteAsync(long host, long guest, ReadOnlyMemory<byte> bytes)
    {
        using var buffer = BufferPool.Rent((Math.Min(bytes.Length, Piece) + Sector - 1) & -Sector);
        while (!bytes.IsEmpty)
        {
            var n = Math.Min(bytes.Length, Piece);
            var whole = n & -Sector;
            var piece = buffer.Memory[..((n + Sector - 1) & -Sector)];
            Encrypt(bytes.Span[..whole], piece.Span, host, guest);
            if (whole < n)
            {
                var last = piece.Span[whole..];
                last.Clear();
                bytes.Span[whole..n].CopyTo(last);
                Encrypt(last, last, host + whole, guest + whole);
            }

            await data.WriteAsync(host, piece).ConfigureAwait(false);
            host += n;
            guest += n;
            bytes = bytes[n..];
        }
    }

    /// <summary>Writes whole sectors out of a buffer that nobody needs any more: they are encrypted in place.</summary>
    public ValueTask WriteOwnAsync(long host, long guest, Memory<byte> sectors)
    {
        Encrypt(sectors.Span, sectors.Span, host, guest);
        return data.WriteAsync(host, sectors);
    }

    private void Encrypt(ReadOnlySpan<byte> source, Span<byte> target, long host, long guest) =>
        (crypt ?? throw NoKey()).Encrypt(source, target, countsGuestSectors ? guest : host);

    private BlockException NoKey() => new(
        ErrorCode.NotPermitted, $"The image '{data.Node.FileName}' is encrypted, and was opened without its passphrase", data.Node.FileName);
}
