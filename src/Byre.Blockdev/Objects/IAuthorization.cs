namespace Byre.Blockdev.Objects;

/// <summary>Says who may connect.</summary>
internal interface IAuthorization
{
    /// <summary>The one with this name may connect. Several threads may ask at once.</summary>
    bool Allows(string name);
}
