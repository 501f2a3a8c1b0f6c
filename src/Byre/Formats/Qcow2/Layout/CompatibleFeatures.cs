namespace Byre.Formats.Qcow2.Layout;

/// <summary>Features that a program may ignore (qcow2 specification, "compatible_features").</summary>
[Flags]
public enum CompatibleFeatures : ulong
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Refcount updates may be put off while <see cref="IncompatibleFeatures.Dirty"/> is set.</summary>
    LazyRefcounts = 1,
}
