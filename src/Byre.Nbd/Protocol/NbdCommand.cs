namespace Byre.Nbd.Protocol;

/// <summary>What a request asks for (section "Request types").</summary>
public enum NbdCommand : ushort
{
    /// <summary>Reads.</summary>
    Read = 0,

    /// <summary>Writes.</summary>
    Write = 1,

    /// <summary>Ends the connection, once all replies are sent; gets no reply.</summary>
    Disconnect = 2,

    /// <summary>Brings completed writes to stable storage.</summary>
    Flush = 3,

    /// <summary>Gives space back.</summary>
    Trim = 4,

    /// <summary>Reads ahead.</summary>
    Cache = 5,

    /// <summary>Makes a range read as zeroes.</summary>
    WriteZeroes = 6,

    /// <summary>Asks what is where.</summary>
    BlockStatus = 7,

    /// <summary>Changes the export's length (an extension).</summary>
    Resize = 8,
}
