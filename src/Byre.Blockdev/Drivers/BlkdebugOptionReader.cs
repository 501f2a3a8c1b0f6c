using System.Globalization;
using Byre.Filters;
using Byre.Nodes;

namespace Byre.Blockdev.Drivers;

/// <summary>
/// Reads the blkdebug driver's options from dotted keys ("inject-error.0.event", "align"), as option lists and flattened
/// JSON give them. The keys of the child ("image", "image.filename") and "driver" are left to the caller.
/// </summary>
public static class BlkdebugOptionReader
{
    private const string Errors = "inject-error";
    private const string States = "set-state";

    /// <summary>Reads the options, and the configuration file that "config" names.</summary>
    /// <exception cref="BlockException">An option is unknown or has no valid value, or the file cannot be read.</exception>
    public static BlkdebugOptions Read(IReadOnlyDictionary<string, string> options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var errors = new List<BlkdebugErrorRule>();
        var states = new List<BlkdebugStateRule>();
        if (options.TryGetValue("config", out var config))
        {
            AddRules(BlkdebugConfigFile.Parse(ReadFile(config), config), errors, states);
        }

        AddRules(options.Where(o => IsRule(o.Key)), errors, states);
        foreach (var key in options.Keys)
        {
            if (!IsKnown(key))
            {
                throw new BlockException(ErrorCode.Invalid, $"The blkdebug driver has no option '{key}'");
            }
        }

        return new BlkdebugOptions
        {
            ConfigName = options.Keys.All(key => key == "config" || !Decides(key))
                ? options.GetValueOrDefault("config", "") : null,
            Errors = errors,
            States = states,
            Align = Size(options, "align"),
            MaxTransfer = Size(options, "max-transfer"),
            OptimalWriteZeroes = Size(options, "opt-write-zero"),
            MaxWriteZeroes = Size(options, "max-write-zero"),
            OptimalDiscard = Size(options, "opt-discard"),
            MaxDiscard = Size(options, "max-discard"),
            TakeChildPermissions = PermissionList(options, "take-child-perms"),
            UnshareChildPermissions = PermissionList(options, "unshare-child-perms"),
        };
    }

    /// <summary>Whether an option decides what the driver does: not what it does it to, and who else may.</summary>
    public static bool Decides(string key) => IsRule(key)
        || key is "config" or "align" or "max-transfer" or "opt-write-zero" or "max-write-zero" or "opt-discard" or "max-discard";

    private static bool IsRule(string key) =>
        key.StartsWith(Errors + ".", StringComparison.Ordinal) || key.StartsWith(States + ".", StringComparison.Ordinal);

    private static bool IsKnown(string key) =>
        Decides(key)
        || key is "driver" or "image" or "node-name" or "read-only" or "auto-read-only" or "force-share" or "discard" or "detect-zeroes"
        || key.StartsWith("image.", StringComparison.Ordinal) || key.StartsWith("cache.", StringComparison.Ordinal)
        || key.StartsWith("take-child-perms.", StringComparison.Ordinal)
        || key.StartsWith("unshare-child-perms.", StringComparison.Ordinal);

    private static string ReadFile(string name)
    {
        try
        {
            return File.ReadAllText(name);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            var errno = e is FileNotFoundException or DirectoryNotFoundException ? 2 : e is UnauthorizedAccessException ? 13 : 5;
            throw BlockException.FromErrno(errno, $"Could not read the blkdebug config file '{name}'", name);
        }
    }

    /// <summary>Parts the keys into rules by kind and index, in the order of the indices.</summary>
    private static void AddRules(
        IEnumerable<KeyValuePair<string, string>> options, List<BlkdebugErrorRule> errors, List<BlkdebugStateRule> states)
    {
        var groups = new SortedDictionary<(string Kind, int Index), Dictionary<string, string>>();
        foreach (var (key, value) in options)
        {
            var parts = key.Split('.', 3);
            if (!int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var index))
            {
                throw new BlockException(ErrorCode.Invalid, $"blkdebug: '{key}' lacks the rule's number");
            }

            if (!groups.TryGetValue((parts[0], index), out var group))
            {
                groups.Add((parts[0], index), group = new(StringComparer.Ordinal));
            }

            if (parts.Length == 3)
            {
                group[parts[2]] = value;
            }
        }

        foreach (var ((kind, _), group) in groups)
        {
            if (string.Equals(kind, Errors, StringComparison.Ordinal))
            {
                errors.Add(ReadError(group));
            }
            else
            {
                states.Add(ReadState(group));
            }
        }
    }

    private static BlkdebugErrorRule ReadError(Dictionary<string, string> options)
    {
        CheckKeys(Errors, options, "event", "state", "iotype", "errno", "sector", "once", "immediately");
        var types = BlkdebugIoTypes.Default;
        if (options.TryGetValue("iotype", out var name))
        {
            types = BlkdebugNames.TryParseIoType(name, out var type) ? type.Value : throw Invalid("iotype", name);
        }

        return new BlkdebugErrorRule
        {
            Event = Event(Errors, options),
            State = (int)Number(options, "state", 0, int.MaxValue),
            IoTypes = types,
            Errno = (int)Number(options, "errno", 5, 4095),
            Sector = Number(options, "sector", -1, long.MaxValue / 512),
            Once = Switch(options, "once"),
            Immediately = Switch(options, "immediately"),
        };
    }

    private static BlkdebugStateRule ReadState(Dictionary<string, string> options)
    {
        CheckKeys(States, options, "event", "state", "new_state");
        return new BlkdebugStateRule
        {
            Event = Event(States, options),
            State = (int)Number(options, "state", 0, int.MaxValue),
            NewState = (int)Number(options, "new_state", 0, int.MaxValue),
        };
    }

    private static void CheckKeys(string section, Dictionary<string, string> options, params ReadOnlySpan<string> known)
    {
        foreach (var key in options.Keys)
        {
            if (!known.Contains(key))
            {
                throw new BlockException(ErrorCode.Invalid, $"blkdebug: {section} has no option '{key}'");
            }
        }
    }

    private static BlkdebugEvent Event(string section, Dictionary<string, string> options)
    {
        if (!options.TryGetValue("event", out var name))
        {
            throw new BlockException(ErrorCode.Invalid, $"blkdebug: a rule of {section} names no event");
        }

        return BlkdebugNames.TryParse(name, out var result) ? result : throw Invalid("event", name);
    }

    private static long Size(IReadOnlyDictionary<string, string> options, string key) => Number(options, key, 0, long.MaxValue);

    private static long Number(IReadOnlyDictionary<string, string> options, string key, long missing, long max)
    {
        if (!options.TryGetValue(key, out var text))
        {
            return missing;
        }

        var hex = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        return long.TryParse(
            hex ? text.AsSpan(2) : text,
            hex ? NumberStyles.AllowHexSpecifier : NumberStyles.AllowLeadingSign,
            CultureInfo.InvariantCulture,
            out var value) && value <= max && (value >= 0 || value == missing)
            ? value
            : throw Invalid(key, text);
    }

    private static bool Switch(Dictionary<string, string> options, string key) => options.GetValueOrDefault(key, "off") switch
    {
        "on" or "yes" or "true" or "y" => true,
        "off" or "no" or "false" or "n" => false,
        var other => throw Invalid(key, other),
    };

    private static Permissions PermissionList(IReadOnlyDictionary<string, string> options, string key)
    {
        var result = Permissions.None;
        foreach (var (name, value) in options)
        {
            if (!name.StartsWith(key + ".", StringComparison.Ordinal))
            {
                continue;
            }

            result |= value switch
            {
                "consistent-read" => Permissions.ConsistentRead,
                "write" => Permissions.Write,
                "write-unchanged" => Permissions.WriteUnchanged,
                "resize" => Permissions.Resize,
                _ => throw Invalid(name, value),
            };
        }

        return result;
    }

    private static BlockException Invalid(string key, string value) =>
        new(ErrorCode.Invalid, $"blkdebug: '{value}' is not a value for {key}");
}
