namespace Byre.Nodes;

/// <summary>What becomes of writes that hold nothing but zeroes (QEMU's detect-zeroes).</summary>
public enum ZeroDetection
{
    /// <summary>They are written; nobody looks.</summary>
    Off,

    /// <summary>They become requests for zeroes.</summary>
    On,

    /// <summary>They become requests for zeroes that may give the space back.</summary>
    Unmap,
}
