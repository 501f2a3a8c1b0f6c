using Byre.Interop.Cases;

namespace Byre.Interop.Nbd;

/// <summary>The servers that the tests run with: Byre under the name of qemu-nbd, and the real ones.</summary>
internal static class NbdServers
{
    /// <summary>The system's qemu-nbd.</summary>
    public const string Older = "qemu-nbd";

    /// <summary>The qemu-nbd of QEMU 10, or null where BYRE_QEMU10 names none.</summary>
    public static string? Newer { get; } = Qemu10TheoryAttribute.Directory is { } folder ? Path.Combine(folder, "qemu-nbd") : null;

    /// <summary>The newest real one that there is; what clients see of it is what they shall see of Byre.</summary>
    public static string Real => Newer ?? Older;

    /// <summary>Whether BYRE_NBD_SERVER names another program in Byre's place.</summary>
    public static bool AreOursReplaced { get; } = Environment.GetEnvironmentVariable("BYRE_NBD_SERVER") is { Length: > 0 };

    /// <summary>Byre's, or the program that BYRE_NBD_SERVER names: so a test is tried with a real server on both sides.</summary>
    public static async Task<string> OursAsync() => AreOursReplaced
        ? Environment.GetEnvironmentVariable("BYRE_NBD_SERVER")!
        : Path.Combine(await ByreLinks.DirectoryAsync(), "qemu-nbd");
}
