using Byre.Nodes;

namespace Byre.Blockdev.Objects;

/// <summary>
/// A list of rules in a file (authz-list-file): JSON with "policy" and "rules", as in a list. The file is looked at again when
/// it has changed; while what is in it cannot be read, nobody may connect.
/// </summary>
internal sealed class FileAuthorization : IAuthorization
{
    private const int MostBytes = 1 << 20;

    private readonly Lock gate = new();
    private readonly ObjectOptions options;
    private readonly string path;
    private readonly bool refreshes;
    private (DateTime Written, long Length) seen;
    private ListAuthorization? list;

    private FileAuthorization(ObjectOptions options, string path, bool refreshes)
    {
        this.options = options;
        this.path = path;
        this.refreshes = refreshes;
    }

    /// <summary>Reads it from options, and the file.</summary>
    public static FileAuthorization Read(ObjectOptions options)
    {
        var path = options.Take("filename") is { Length: > 0 } named ? named : throw options.Invalid("'filename' must name the file of its rules");
        var result = new FileAuthorization(options, path, options.TakeSwitch("refresh") ?? true);
        options.CheckEmpty();
        result.Load();
        return result;
    }

    /// <inheritdoc/>
    public bool Allows(string name)
    {
        lock (gate)
        {
            if (refreshes)
            {
                try
                {
                    if (Look() != seen)
                    {
                        list = null;
                        Load();
                    }
                }
                catch (BlockException)
                {
                    list = null;
                }
            }

            return list is not null && list.Allows(name);
        }
    }

    private (DateTime Written, long Length) Look()
    {
        try
        {
            var file = new FileInfo(path);
            return (file.LastWriteTimeUtc, file.Length);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw options.Invalid($"'{path.Replace('\0', '?')}' cannot be read: {e.Message}");
        }
    }

    private void Load()
    {
        var now = Look();
        if (now.Length > MostBytes)
        {
            throw options.Invalid($"'{path}' is longer than any list of rules");
        }

        try
        {
            var content = new Dictionary<string, string>(StringComparer.Ordinal);
            OptionTree.AddJson(content, File.ReadAllText(path));
            content.Remove("policy", out var policy);
            var rules = OptionTree.Below(content, "rules");
            if (rules.Count != content.Count)
            {
                throw options.Invalid($"'{path}' holds more than a policy and rules");
            }

            list = ListAuthorization.Read(policy, rules, what => options.Invalid($"in '{path}', {what}"));
            seen = now;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw options.Invalid($"'{path.Replace('\0', '?')}' cannot be read: {e.Message}");
        }
        catch (BlockException e) when (!e.Message.Contains(path, StringComparison.Ordinal))
        {
            throw options.Invalid($"'{path}': {e.Message}");
        }
    }
}
