namespace Byre.Blockdev.Create;

/// <summary>An option that an image can be created with.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">What its value is.</param>
/// <param name="Help">What it is for, in a few words.</param>
/// <param name="Default">The value it has unless it is given another, as QEMU's tools show it; null where none is shown.</param>
public sealed record CreateOption(string Name, CreateOptionType Type, string Help, string? Default = null);
