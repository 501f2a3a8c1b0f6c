using Byre.Formats.Qcow2.Layout;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>Before an image is changed its header promises nothing that the change breaks; when it is closed all is on disk.</summary>
internal sealed class WritePreparation(
    HeaderStore headers, WriteBackRound round, bool? lazyRefcounts, Func<ValueTask> markBitmaps)
{
    private readonly AsyncMutex preparing = new();
    private readonly bool isLazy = headers.Header.Version >= 3
        && (lazyRefcounts ?? (headers.Header.Compatible & CompatibleFeatures.LazyRefcounts) != 0);
    private bool isDone;
    private bool hasSetDirty;

    /// <summary>The header is ready for every change.</summary>
    public bool IsDone => Volatile.Read(ref isDone);

    /// <summary>
    /// The image needs a repair that only its next opening can make: it keeps the dirty bit when it is closed.
    /// </summary>
    public bool KeepsDirty { get; set; }

    /// <summary>Makes the header ready, durably.</summary>
    /// <param name="keepAllZero">The change leaves an image that reads as zeroes as it is.</param>
    /// <param name="keepBitmaps">The change is none that bitmaps record.</param>
    public async ValueTask RunAsync(bool keepAllZero, bool keepBitmaps = false)
    {
        headers.ThrowIfCorrupt();
        if (IsDone)
        {
            return;
        }

        await preparing.WaitAsync().ConfigureAwait(false);
        try
        {
            if (!keepBitmaps)
            {
                await markBitmaps().ConfigureAwait(false);
            }

            var cleared = keepAllZero ? AutoclearFeatures.None : AutoclearFeatures.AllZero;
            if ((headers.Header.Autoclear & cleared) != 0 || hasSetDirty != isLazy)
            {
                await headers.UpdateAsync(h => h with
                {
                    Autoclear = h.Autoclear & ~cleared,
                    Incompatible = isLazy ? h.Incompatible | IncompatibleFeatures.Dirty : h.Incompatible,
                }).ConfigureAwait(false);
                hasSetDirty = isLazy;
                round.IsLazy = isLazy;
            }

            if (!keepAllZero && !keepBitmaps)
            {
                Volatile.Write(ref isDone, true);
            }
        }
        finally
        {
            preparing.Release();
        }
    }

    /// <summary>Writes all that is still in memory.</summary>
    public async ValueTask CloseAsync()
    {
        await round.CleanAsync().ConfigureAwait(false);
        if (hasSetDirty && !KeepsDirty && !headers.IsCorrupt)
        {
            await headers.UpdateAsync(h => h with { Incompatible = h.Incompatible & ~IncompatibleFeatures.Dirty }).ConfigureAwait(false);
        }
    }
}
