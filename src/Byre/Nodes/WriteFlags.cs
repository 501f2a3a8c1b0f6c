namespace Byre.Nodes;

/// <summary>How a write is to be done.</summary>
[Flags]
public enum WriteFlags
{
    /// <summary>Plainly.</summary>
    None = 0,

    /// <summary>The data is on stable storage when the request completes.</summary>
    Fua = 1,

    /// <summary>For write-zeroes: space may be given back.</summary>
    MayUnmap = 2,

    /// <summary>For write-zeroes: fail with <see cref="ErrorCode.NotSupported"/> rather than write zeroes as data.</summary>
    NoFallback = 4,

    /// <summary>The write does not change what a reader sees (needs only <see cref="Permissions.WriteUnchanged"/>).</summary>
    Unchanged = 8,

    /// <summary>Store compressed. Offset and length are whole clusters (a last, short cluster excepted).</summary>
    Compressed = 16,
}
