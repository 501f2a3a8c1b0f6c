namespace Byre.Blockdev.Objects;

/// <summary>One name may connect (authz-simple).</summary>
internal sealed class SimpleAuthorization(string identity) : IAuthorization
{
    /// <summary>Reads it from options.</summary>
    public static SimpleAuthorization Read(ObjectOptions options)
    {
        var identity = options.Take("identity") ?? throw options.Invalid("'identity' must say who may connect");
        options.CheckEmpty();
        return new SimpleAuthorization(identity);
    }

    /// <inheritdoc/>
    public bool Allows(string name) => string.Equals(name, identity, StringComparison.Ordinal);
}
