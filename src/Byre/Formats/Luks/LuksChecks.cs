using Byre.Nodes;

namespace Byre.Formats.Luks;

/// <summary>What must hold for a LUKS header before anything in it is followed.</summary>
internal static class LuksChecks
{
    private const uint FirstSector = LuksHeader.MaterialStart / LuksHeader.Sector;

    /// <summary>Throws where a field contradicts another or the specification.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>.</exception>
    public static void Check(LuksHeader header, string fileName)
    {
        if (header.PayloadSector < FirstSector)
        {
            throw Corrupt(fileName, "the encrypted disk would begin inside the LUKS header");
        }

        if (header.MasterIterations is 0 or > int.MaxValue)
        {
            throw Corrupt(fileName, $"the digest of its master key has {header.MasterIterations} iterations");
        }

        var sectors = header.SlotSectors;
        for (var i = 0; i < header.Slots.Count; i++)
        {
            var slot = header.Slots[i];
            if (slot.Stripes != LuksHeader.Stripes)
            {
                throw Corrupt(fileName, $"the LUKS key slot {i} has {slot.Stripes} stripes, not {LuksHeader.Stripes}");
            }

            if (slot.MaterialSector < FirstSector)
            {
                throw Corrupt(fileName, $"the LUKS key slot {i} overlaps the header");
            }

            if ((ulong)slot.MaterialSector + sectors > header.PayloadSector)
            {
                throw Corrupt(fileName, $"the LUKS key slot {i} overlaps the encrypted disk");
            }

            if (slot.IsActive && slot.Iterations is 0 or > int.MaxValue)
            {
                throw Corrupt(fileName, $"the LUKS key slot {i} has {slot.Iterations} iterations");
            }

            for (var j = 0; j < i; j++)
            {
                var other = header.Slots[j].MaterialSector;
                if (slot.MaterialSector < other + (ulong)sectors && other < slot.MaterialSector + (ulong)sectors)
                {
                    throw Corrupt(fileName, $"the LUKS key slots {j} and {i} overlap");
                }
            }
        }
    }

    private static BlockException Corrupt(string fileName, string what) => LuksHeader.Failure(fileName, ErrorCode.Corrupt, what);
}
