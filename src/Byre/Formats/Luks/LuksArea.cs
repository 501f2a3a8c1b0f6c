using Byre.Nodes;

namespace Byre.Formats.Luks;

/// <summary>Where a LUKS header and its key material lie: at the beginning of a file, or somewhere in an image.</summary>
/// <param name="file">The file.</param>
/// <param name="start">The header's first byte in it; a multiple of 512.</param>
/// <param name="length">Bytes from there that belong to the header.</param>
public sealed class LuksArea(BlockEdge file, long start, long length)
{
    private const int Head = 2 * LuksHeader.Sector;

    /// <summary>What messages call it.</summary>
    public string FileName => file.Node.FileName;

    /// <summary>Reads the header.</summary>
    /// <exception cref="BlockException">As <see cref="LuksHeader.Parse"/>, its slots reach out of the area, or the file cannot be read.</exception>
    public async ValueTask<LuksHeader> ReadHeaderAsync()
    {
        var there = (int)Math.Clamp(Math.Min(length, file.Length - start), 0, LuksHeader.Length);
        var bytes = new byte[there];
        if (there > 0)
        {
            await file.ReadAsync(start, bytes).ConfigureAwait(false);
        }

        return LuksHeader.Parse(bytes, FileName);
    }

    /// <summary>Reads a part of the area.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: it reaches out of the area or the file.</exception>
    internal ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        Check(offset, buffer.Length);
        return offset + buffer.Length > file.Length - start ? throw Outside() : file.ReadAsync(start + offset, buffer);
    }

    /// <summary>Writes a part of the area.</summary>
    internal ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> bytes)
    {
        Check(offset, bytes.Length);
        return file.WriteAsync(start + offset, bytes);
    }

    /// <summary>Writes the sectors of the header in a range of them; what follows the header in its last sector stays.</summary>
    internal async ValueTask WriteHeaderAsync(LuksHeader header, int firstSector = 0, int sectors = Head / LuksHeader.Sector)
    {
        Check(0, Head);
        var bytes = new byte[Head];
        var there = (int)Math.Clamp(file.Length - start, 0, Head);
        if (there > 0)
        {
            await file.ReadAsync(start, bytes.AsMemory(0, there)).ConfigureAwait(false);
        }

        header.ToBytes().CopyTo(bytes, 0);
        await file.WriteAsync(
            start + (firstSector * LuksHeader.Sector), bytes.AsMemory(firstSector * LuksHeader.Sector, sectors * LuksHeader.Sector)).ConfigureAwait(false);
    }

    /// <summary>Brings what was written to stable storage.</summary>
    internal ValueTask FlushAsync() => file.FlushAsync();

    private void Check(long offset, long bytes)
    {
        if (offset < 0 || offset > length - bytes)
        {
            throw Outside();
        }
    }

    private BlockException Outside() => LuksHeader.Failure(FileName, ErrorCode.Corrupt, "its LUKS key material reaches out of the space of the LUKS header");
}
