namespace Byre.Nodes;

/// <summary>
/// Points in a driver's work that the blkdebug driver can hang a fault on. Names and order are QEMU's (BlkdebugEvent in
/// its QAPI schema), since test scripts name them: L1Update is "l1_update" there.
/// </summary>
public enum BlkdebugEvent
{
#pragma warning disable CS1591, SA1602 // each name says it
    L1Update, L1GrowAllocTable, L1GrowWriteTable, L1GrowActivateTable,
    L2Load, L2Update, L2UpdateCompressed, L2AllocCowRead, L2AllocWrite,
    ReadAio, ReadBackingAio, ReadCompressed, WriteAio, WriteCompressed,
    VmstateLoad, VmstateSave, CowRead, CowWrite,
    ReftableLoad, ReftableGrow, ReftableUpdate,
    RefblockLoad, RefblockUpdate, RefblockUpdatePart, RefblockAlloc, RefblockAllocHookup,
    RefblockAllocWrite, RefblockAllocWriteBlocks, RefblockAllocWriteTable, RefblockAllocSwitchTable,
    ClusterAlloc, ClusterAllocBytes, ClusterFree, FlushToOs, FlushToDisk,
    PwritevRmwHead, PwritevRmwAfterHead, PwritevRmwTail, PwritevRmwAfterTail,
    Pwritev, PwritevZero, PwritevDone, EmptyImagePrepare,
    L1ShrinkWriteTable, L1ShrinkFreeL2Clusters, CorWrite, ClusterAllocSpace, None,
#pragma warning restore CS1591, SA1602
}
