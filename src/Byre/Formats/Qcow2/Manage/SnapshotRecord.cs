namespace Byre.Formats.Qcow2.Manage;

/// <summary>An entry of the snapshot table as a check has found it.</summary>
/// <param name="Offset">Where it is in the file.</param>
/// <param name="ExtraBytes">The bytes of extra data that it claims.</param>
/// <param name="TailBytes">The bytes of its id and its name, which follow the extra data.</param>
/// <param name="L1Offset">Where its L1 table is in the file. Not checked.</param>
/// <param name="L1Bytes">The length of its L1 table. Not checked.</param>
/// <param name="IsLost">Nothing can read the snapshot: its entry or its L1 table is nowhere.</param>
internal readonly record struct SnapshotRecord(long Offset, uint ExtraBytes, int TailBytes, long L1Offset, long L1Bytes, bool IsLost);
