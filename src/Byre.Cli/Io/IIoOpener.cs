using Byre.Nodes;

namespace Byre.Cli.Io;

/// <summary>Opens images for the applet's commands.</summary>
internal interface IIoOpener
{
    /// <summary>Opens an image.</summary>
    /// <exception cref="BlockException">It cannot be opened so.</exception>
    ValueTask<IoImage> OpenAsync(IoOpenRequest request);
}
