using Byre.Crypto;
using Byre.Formats.Luks;

namespace Byre.Cli.Img;

/// <summary>What info tells of a LUKS header, in QEMU's order and names.</summary>
internal static class LuksFacts
{
    /// <summary>Tells it.</summary>
    /// <param name="header">The header.</param>
    /// <param name="isInImage">It is that of an encrypted image of another format, which says so.</param>
    /// <param name="facts">Who is told.</param>
    public static void Tell(LuksHeader header, bool isInImage, IFacts facts)
    {
        facts.Add("ivgen-alg", CryptoNames.NameOf(header.Cipher.Iv));
        facts.Add("detached-header", false);
        facts.Add("hash-alg", CryptoNames.NameOf(header.Hash));
        facts.Add("cipher-alg", CryptoNames.NameOf(header.Cipher.Cipher));
        facts.Add("uuid", header.Uuid);
        if (header.Cipher.IvHash is { } hash)
        {
            facts.Add("ivgen-hash-alg", CryptoNames.NameOf(hash));
        }

        if (isInImage)
        {
            facts.Add("format", "luks");
        }

        facts.Add("cipher-mode", CryptoNames.NameOf(header.Cipher.Mode));
        facts.BeginList("slots");
        for (var i = 0; i < header.Slots.Count; i++)
        {
            var slot = header.Slots[i];
            facts.BeginItem(i);
            facts.Add("active", slot.IsActive);
            if (slot.IsActive)
            {
                facts.Add("iters", slot.Iterations);
            }

            facts.Add("key-offset", (long)slot.MaterialSector * LuksHeader.Sector);
            if (slot.IsActive)
            {
                facts.Add("stripes", slot.Stripes);
            }

            facts.EndItem();
        }

        facts.EndList();
        facts.Add("payload-offset", header.PayloadOffset);
        facts.Add("master-key-iters", header.MasterIterations);
    }
}
