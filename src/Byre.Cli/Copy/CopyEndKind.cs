namespace Byre.Cli.Copy;

/// <summary>What a word on the command line names as a source or a target.</summary>
internal enum CopyEndKind
{
    /// <summary>A path: its raw bytes, unless a format is named.</summary>
    Path,

    /// <summary>"-": the standard input or output.</summary>
    Standard,

    /// <summary>A URI, a "json:" name or a list of options, opened as the image tool opens it.</summary>
    Image,

    /// <summary>"[ COMMAND ]": an NBD server that is started for the copy.</summary>
    Command,

    /// <summary>"null:": what is written there vanishes.</summary>
    Null,
}
