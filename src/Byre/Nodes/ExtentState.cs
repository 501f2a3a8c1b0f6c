namespace Byre.Nodes;

/// <summary>What one layer says of a range.</summary>
public enum ExtentState
{
    /// <summary>This layer says nothing; reads go to the backing layer (zeroes where there is none).</summary>
    Absent,

    /// <summary>This layer says the range reads as zeroes; backing is shadowed.</summary>
    Zero,

    /// <summary>This layer stores the bytes; backing is shadowed.</summary>
    Data,
}
