namespace Byre.Cli.Demo;

/// <summary>The part of the demo that shows what one image can do: snapshots, bitmaps, commit, encryption.</summary>
internal sealed class DemoTour(string folder, DemoScreen screen, DemoTools tools)
{
    /// <summary>The encrypted image that <see cref="EncryptAsync"/> makes, as options name it.</summary>
    public const string Vault = "driver=qcow2,encrypt.key-secret=key,file.filename=vault.qcow2";

    /// <summary>The object that holds its passphrase.</summary>
    public const string Key = "secret,id=key,file=key.txt";

    /// <summary>Takes a snapshot, changes the disk, and goes back.</summary>
    public async Task SnapshotAsync()
    {
        screen.Step("A snapshot, and back to it");
        await tools.ByreAsync(["convert", "-O", "qcow2", "tuesday.qcow2", "work.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["snapshot", "-c", "before", "work.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["io", "-f", "qcow2", "-c", "write -P 0x57 220M 2M", "work.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["compare", "tuesday.qcow2", "work.qcow2"], expectedStatus: 1).ConfigureAwait(false);
        await tools.ByreAsync(["snapshot", "-l", "work.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["snapshot", "-a", "before", "work.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["compare", "tuesday.qcow2", "work.qcow2"]).ConfigureAwait(false);
        screen.Found("what was written since the snapshot is gone, and nothing else");
    }

    /// <summary>Lets an image keep a dirty bitmap over a write.</summary>
    public async Task BitmapAsync()
    {
        screen.Step("A bitmap of what changes from now on, kept in the image");
        await tools.ByreAsync(["bitmap", "--add", "work.qcow2", "since-backup"]).ConfigureAwait(false);
        await tools.ByreAsync(["io", "-f", "qcow2", "-c", "write -P 0x42 230M 1M", "work.qcow2"]).ConfigureAwait(false);
        var facts = await tools.ByreAsync(["info", "-f", "qcow2", "work.qcow2"], show: false).ConfigureAwait(false);
        var bitmaps = facts.Split('\n').SkipWhile(line => line.Trim() != "bitmaps:").TakeWhile(line => !line.Contains("refcount bits", StringComparison.Ordinal));
        var shown = string.Join('\n', bitmaps);
        screen.Output(shown, 10);
        if (!shown.Contains("name: since-backup", StringComparison.Ordinal) || shown.Contains("in-use", StringComparison.Ordinal))
        {
            throw new DemoException("the image does not keep its bitmap");
        }

        await tools.ByreAsync(["check", "-f", "qcow2", "work.qcow2"], show: false).ConfigureAwait(false);
        screen.Found("the bitmap is stored with the image, and the image is sound");
    }

    /// <summary>Serves the chain, and the image with its bitmap, and reads what lies where through the protocol.</summary>
    public async Task ServeAsync()
    {
        screen.Step("The chain and the bitmap, served over NBD");
        var chain = await tools.ByreAsync(
            ["nbdinfo", "--map=qemu:joint-allocation", "--", "[", .. DemoTools.Self, "serve", "-r", "-A", "-f", "qcow2", "tuesday.qcow2", "]"]).ConfigureAwait(false);
        foreach (var words in new[] { "allocated,backing", "allocated,local", "hole,zero,local" })
        {
            if (!chain.Split('\n').Any(line => line.EndsWith("  " + words, StringComparison.Ordinal)))
            {
                throw new DemoException($"the served chain has nothing that is {words}");
            }
        }

        var bitmap = await tools.ByreAsync(
            ["nbdinfo", "--map=qemu:dirty-bitmap:since-backup", "--", "[", .. DemoTools.Self, "serve", "-r", "-B", "since-backup", "-f", "qcow2", "work.qcow2", "]"]).ConfigureAwait(false);
        if (!bitmap.Contains("241172480     1048576    1  dirty", StringComparison.Ordinal))
        {
            throw new DemoException("the served bitmap does not show what was written");
        }

        screen.Found("one answer says hole, zero, local and backing; another what a backup has to read");
    }

    /// <summary>Copies the chain out of a server, and compares.</summary>
    public async Task CopyAsync()
    {
        screen.Step("A copy through the protocol");
        await tools.ByreAsync(["copy", "--verify", "--", "[", .. DemoTools.Self, "serve", "-r", "-e", "4", "-t", "-f", "qcow2", "tuesday.qcow2", "]", "copied.raw"]).ConfigureAwait(false);
        await tools.ByreAsync(["compare", "-f", "raw", "-F", "qcow2", "copied.raw", "tuesday.qcow2"]).ConfigureAwait(false);
        screen.Found("what a client reads is the disk");
    }

    /// <summary>Writes the top of the chain into the layer below.</summary>
    public async Task CommitAsync()
    {
        screen.Step("Tuesday goes into monday");
        await tools.ByreAsync(["commit", "-f", "qcow2", "tuesday.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["compare", "monday.qcow2", "packed.qcow2"]).ConfigureAwait(false);
        await tools.ByreAsync(["compare", "tuesday.qcow2", "packed.qcow2"]).ConfigureAwait(false);
        screen.Found("both read as tuesday did, and tuesday holds nothing of its own any more");
    }

    /// <summary>Copies the disk into an encrypted image.</summary>
    public async Task EncryptAsync()
    {
        screen.Step("An encrypted copy");
        await File.WriteAllTextAsync(Path.Combine(folder, "key.txt"), Guid.NewGuid().ToString("N")).ConfigureAwait(false);
        await tools.ByreAsync(
            [
                "convert", "--object", Key, "-O", "qcow2",
                "-o", "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=100", "packed.qcow2", "vault.qcow2",
            ]).ConfigureAwait(false);
        await tools.ByreAsync(["compare", "--object", Key, "--image-opts", "driver=raw,file.filename=restored.raw", Vault]).ConfigureAwait(false);
        await tools.ByreAsync(["compare", "restored.raw", "vault.qcow2"], expectedStatus: 2).ConfigureAwait(false);
        screen.Found("with the passphrase it is the same disk; without it nothing is read");
    }
}
