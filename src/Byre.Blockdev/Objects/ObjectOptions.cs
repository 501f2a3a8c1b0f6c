using Byre.Blockdev.Options;
using Byre.Nodes;

namespace Byre.Blockdev.Objects;

/// <summary>The options of one object; failures name it.</summary>
internal sealed class ObjectOptions
{
    private readonly OptionSet options;
    private readonly string type;

    /// <summary>Copies the options, without what says which object it is.</summary>
    public ObjectOptions(string type, string id, IReadOnlyDictionary<string, string> given)
    {
        this.type = type;
        Id = id;
        var own = new Dictionary<string, string>(given, StringComparer.Ordinal);
        own.Remove("id");
        own.Remove("qom-type");
        options = new OptionSet(own);
    }

    /// <summary>The object's id.</summary>
    public string Id { get; }

    /// <summary>Takes a text; null where it is not given.</summary>
    public string? Take(string key) => options.Take(key);

    /// <summary>Takes a switch; null where it is not given.</summary>
    public bool? TakeSwitch(string key)
    {
        try
        {
            return options.TakeSwitch(key);
        }
        catch (BlockException e)
        {
            throw Invalid(e.Message);
        }
    }

    /// <summary>Takes what is below a key, without the key.</summary>
    public Dictionary<string, string> TakeBelow(string key) => options.TakeBelow(key);

    /// <summary>Nothing is left.</summary>
    public void CheckEmpty()
    {
        if (!options.IsEmpty)
        {
            throw Invalid($"there is no option '{options.Rest.Keys.Min(StringComparer.Ordinal)}' for it");
        }
    }

    /// <summary>A failure that names the object.</summary>
    public BlockException Invalid(string what) => new(ErrorCode.Invalid, $"{type} '{Id}': {what}");
}
