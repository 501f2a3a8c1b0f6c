namespace Byre.Cli.Io;

/// <summary>The names of cache, discard and I/O modes.</summary>
internal static class IoModes
{
    /// <summary>What is wrong with a request's modes, or null.</summary>
    public static string? Complaint(IoOpenRequest request)
    {
        if (request.CacheMode is not ("none" or "off" or "writeback" or "writethrough" or "directsync" or "unsafe"))
        {
            return $"'{request.CacheMode}' is not a cache mode (none, writeback, writethrough, directsync, unsafe)";
        }

        if (request.DiscardMode is not (null or "ignore" or "off" or "unmap" or "on"))
        {
            return $"'{request.DiscardMode}' is not a discard mode (ignore, unmap)";
        }

        if (request.AioMode is not (null or "threads" or "native" or "io_uring"))
        {
            return $"'{request.AioMode}' is not an I/O mode (threads, native, io_uring)";
        }

        return request is { AioMode: "native", CacheMode: not ("none" or "off" or "directsync") }
            && !request.Options.Any(o => o.Contains("cache.direct", StringComparison.Ordinal))
            ? "The I/O mode 'native' needs the cache mode none or directsync"
            : null;
    }
}
