using Byre.Graph;
using Byre.Nodes;

namespace Byre.Tests.Graph;

/// <summary>A node with children, and a layer that the test dictates.</summary>
internal sealed class FakeNode : BlockNode, IBackedNode
{
    private readonly List<BlockEdge> children;

    public FakeNode(string name, long length = 1 << 20, params BlockEdge?[] children)
    {
        Name = name;
        NodeLength = length;
        this.children = [.. children.OfType<BlockEdge>()];
    }

    public long NodeLength { get; set; }

    public override string DriverName => "fake";

    public override string FileName => Name + ".img";

    public override long Length => NodeLength;

    public bool ReadOnly { get; set; }

    public override bool IsReadOnly => ReadOnly;

    public override IReadOnlyList<BlockEdge> Children => children;

    public BlockEdge? Backing => children.Find(c => c.Role == ChildRole.Backing);

    public string? BackingFileName => null;

    public string? BackingFormat => null;

    public List<BlockExtent> Extents { get; } = [];

    /// <summary>How many extents one answer holds at most.</summary>
    public int AnswerLimit { get; set; } = int.MaxValue;

    public int Questions { get; private set; }

    public PermissionSet? Held { get; private set; }

    public PermissionSet? Prepared { get; private set; }

    public Func<PermissionSet, bool> Refuses { get; set; } = _ => false;

    public bool FailsToClose { get; set; }

    public bool IsClosed { get; private set; }

    public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => default;

    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => default;

    public override PermissionSet PermissionsForChild(ChildRole role, PermissionSet parents) =>
        DefaultPermissions.ForFormat(role, parents, (parents.Used & Permissions.Write) != 0);

    public override void PreparePermissions(PermissionSet permissions)
    {
        Assert.Null(Prepared);
        if (Refuses(permissions))
        {
            throw new BlockException(ErrorCode.Locked, $"{Name} is locked.");
        }

        Prepared = permissions;
    }

    public override void CommitPermissions()
    {
        Held = Prepared;
        Prepared = null;
    }

    public override void AbortPermissions() => Prepared = null;

    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        Questions++;
        var given = 0;
        foreach (var extent in Extents)
        {
            if (extent.End > extents.End && !extents.IsFull && given++ < AnswerLimit)
            {
                extents.Add(extent.Slice(Math.Max(extent.Start, extents.End), extent.End));
            }
        }

        return default;
    }

    public override async ValueTask DisposeAsync()
    {
        Assert.False(IsClosed);
        IsClosed = true;
        await base.DisposeAsync();
        if (FailsToClose)
        {
            throw new BlockException(ErrorCode.Io, $"{Name} does not close.");
        }
    }
}
