namespace Byre.Nbd.Protocol;

/// <summary>The numbers that begin the protocol's messages (sections "Newstyle negotiation" and "Transmission").</summary>
public static class NbdMagic
{
    /// <summary>"NBDMAGIC": the first eight bytes that a server sends.</summary>
    public const ulong Initial = 0x4e42444d41474943;

    /// <summary>"IHAVEOPT": begins the server's newstyle greeting after <see cref="Initial"/>, and every option of a client.</summary>
    public const ulong Option = 0x49484156454f5054;

    /// <summary>Stands in the place of <see cref="Option"/> in the greeting of an oldstyle server.</summary>
    public const ulong OldStyle = 0x0000420281861253;

    /// <summary>Begins a server's reply to an option.</summary>
    public const ulong OptionReply = 0x0003e889045565a9;

    /// <summary>Begins a compact request.</summary>
    public const uint Request = 0x25609513;

    /// <summary>Begins an extended request.</summary>
    public const uint ExtendedRequest = 0x21e41c71;

    /// <summary>Begins a simple reply.</summary>
    public const uint SimpleReply = 0x67446698;

    /// <summary>Begins a chunk of a structured reply.</summary>
    public const uint StructuredReply = 0x668e33ef;

    /// <summary>Begins a chunk of an extended reply.</summary>
    public const uint ExtendedReply = 0x6e8a278c;
}
