namespace Byre.Storage.Linux;

/// <summary>What kind of thing an open descriptor is.</summary>
internal enum FileKind
{
    Regular,
    BlockDevice,
    CharacterDevice,
    Directory,
    Other,
}
