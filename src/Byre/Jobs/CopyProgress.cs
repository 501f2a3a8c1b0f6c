namespace Byre.Jobs;

/// <summary>How far a copy is.</summary>
/// <param name="BytesDone">Bytes of data (what the source says is not zero) dealt with.</param>
/// <param name="BytesTotal">All bytes of data; 0 where there are none; -1 where that is not known (an input that ends some time).</param>
public readonly record struct CopyProgress(long BytesDone, long BytesTotal)
{
    /// <summary>How much is done, from 0 to 1.</summary>
    public double Fraction => BytesTotal == 0 ? 1 : BytesTotal < 0 ? 0 : Math.Clamp((double)BytesDone / BytesTotal, 0, 1);
}
