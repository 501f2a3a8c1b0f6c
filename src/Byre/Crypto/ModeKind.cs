namespace Byre.Crypto;

/// <summary>How a block cipher is used on a sector.</summary>
public enum ModeKind
{
    /// <summary>Block by block, each on its own.</summary>
    Ecb,

    /// <summary>Each block chained to the one before.</summary>
    Cbc,

    /// <summary>XTS (IEEE 1619): two keys, one for the place of the block.</summary>
    Xts,

    /// <summary>The data is combined with an encrypted counter.</summary>
    Ctr,
}
