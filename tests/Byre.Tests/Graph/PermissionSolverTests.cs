using Byre.Graph;
using Byre.Nodes;

namespace Byre.Tests.Graph;

public class PermissionSolverTests
{
    private const Permissions ReadWrite = Permissions.ConsistentRead | Permissions.Write;

    [Fact]
    public void A_writable_format_writes_its_file_and_reads_its_backing()
    {
        SolverNode[] nodes = [Format("top"), Format("file"), Format("base"), Format("base file")];
        SolverEdge[] edges =
        [
            new(-1, 0, ChildRole.None, "root", DefaultPermissions.Writer),
            new(0, 1, ChildRole.Data | ChildRole.Metadata | ChildRole.Primary, "file", default),
            new(0, 2, ChildRole.Backing, "backing", default),
            new(2, 3, ChildRole.Data | ChildRole.Metadata | ChildRole.Primary, "file", default),
        ];
        var solution = PermissionSolver.Solve(nodes, edges);
        Assert.Null(solution.Conflict);
        Assert.Equal(new(ReadWrite | Permissions.Resize, Permissions.ConsistentRead | Permissions.WriteUnchanged), solution.Edges[1]);
        Assert.Equal(new(Permissions.ConsistentRead, Permissions.ConsistentRead | Permissions.WriteUnchanged), solution.Edges[2]);
        Assert.Equal(new(Permissions.ConsistentRead, Permissions.ConsistentRead | Permissions.WriteUnchanged), solution.Edges[3]);
    }

    [Fact]
    public void Two_users_that_exclude_each_other_are_named()
    {
        SolverNode[] nodes = [Format("a"), Format("b"), Format("disk")];
        SolverEdge[] edges =
        [
            new(-1, 0, ChildRole.None, "root", DefaultPermissions.Writer),
            new(-1, 1, ChildRole.None, "root", DefaultPermissions.Reader),
            new(0, 2, ChildRole.Data | ChildRole.Metadata, "file", default),
            new(1, 2, ChildRole.Data | ChildRole.Metadata, "data-file", default),
        ];
        var solution = PermissionSolver.Solve(nodes, edges);
        Assert.Equal(ErrorCode.Locked, solution.ConflictCode);
        Assert.Equal(
            "The use of 'disk' by 'a' as 'file' conflicts with use by 'b' as 'data-file', which does not allow 'write, resize' on 'disk'.",
            solution.Conflict);
    }

    [Fact]
    public void Force_share_and_read_only_are_seen()
    {
        SolverEdge[] two =
        [
            new(-1, 0, ChildRole.None, "one", DefaultPermissions.Writer),
            new(-1, 0, ChildRole.None, "two", new(Permissions.ConsistentRead, Permissions.None)),
        ];
        Assert.NotNull(PermissionSolver.Solve([Format("n")], two).Conflict);
        Assert.Null(PermissionSolver.Solve([Format("n") with { ForceShare = true }], two).Conflict);
        var readOnly = PermissionSolver.Solve([Format("n") with { IsReadOnly = true }], two[..1]);
        Assert.Equal(ErrorCode.ReadOnly, readOnly.ConflictCode);
        Assert.Equal("'n' is read-only, but 'one' needs 'write, resize'.", readOnly.Conflict);
    }

    [Fact]
    public void Users_that_share_everything_meet_on_raw_but_not_on_a_format()
    {
        SolverNode[] nodes = [Format("a"), Format("b"), Format("disk")];
        foreach (var (role, free) in new[] { (ChildRole.Filtered, true), (ChildRole.Data | ChildRole.Metadata, false) })
        {
            var solution = PermissionSolver.Solve(nodes,
            [
                new(-1, 0, ChildRole.None, "root", DefaultPermissions.ForUser(write: true)),
                new(-1, 1, ChildRole.None, "root", DefaultPermissions.ForUser(write: false)),
                new(0, 2, role, "file", default),
                new(1, 2, role, "file", default),
            ]);
            Assert.Equal(free, solution.Conflict is null);
        }

        SolverEdge[] exclusive =
        [
            new(-1, 0, ChildRole.None, "root", DefaultPermissions.ForUser(write: true)),
            new(-1, 0, ChildRole.None, "root", DefaultPermissions.ForUser(write: false, exclusive: true)),
        ];
        Assert.NotNull(PermissionSolver.Solve(nodes, exclusive).Conflict);
    }

    [Fact]
    public void Cycles_are_refused()
    {
        var solution = PermissionSolver.Solve(
            [Format("a"), Format("b")],
            [new(0, 1, ChildRole.Backing, "backing", default), new(1, 0, ChildRole.Backing, "backing", default)]);
        Assert.Equal(ErrorCode.Invalid, solution.ConflictCode);
    }

    [Fact]
    public void Children_of_a_node_without_parents_keep_what_they_were_given()
    {
        var given = new PermissionSet(Permissions.Write, Permissions.ConsistentRead);
        var solution = PermissionSolver.Solve([Format("a"), Format("b")], [new(0, 1, ChildRole.Backing, "backing", given)]);
        Assert.Equal(given, solution.Edges[0]);
    }

    /// <summary>On random graphs: no user's needs go against another's sharing; the order of the description means nothing.</summary>
    [Fact]
    public void A_solution_never_breaks_sharing_and_does_not_depend_on_order()
    {
        var random = new Random(7);
        var solved = 0;
        for (var round = 0; round < 3000; round++)
        {
            var count = random.Next(1, 8);
            var nodes = Enumerable.Range(0, count).Select(i => Format("n" + i) with
            {
                IsReadOnly = random.Next(20) == 0,
                ForceShare = random.Next(20) == 0,
            }).ToArray();
            var edges = new List<SolverEdge>();
            for (var e = random.Next(1, 10); e > 0; e--)
            {
                var child = random.Next(count);
                var parent = random.Next(-1, child);
                var role = new[] { ChildRole.Backing, ChildRole.Data, ChildRole.Metadata | ChildRole.Data, ChildRole.Filtered }[random.Next(4)];
                var lenient = random.Next(3) != 0;
                edges.Add(new(parent, child, role, "e" + e, new(
                    (Permissions)random.Next(16) & (lenient ? Permissions.ConsistentRead : Permissions.All),
                    (Permissions)random.Next(16) | (lenient ? Permissions.All : Permissions.None))));
            }

            var before = edges.ToArray();
            var a = PermissionSolver.Solve(nodes, edges);
            Assert.Equal(before, edges);
            var again = PermissionSolver.Solve(nodes, edges);
            Assert.Equal(a.Edges, again.Edges);
            var shuffle = Enumerable.Range(0, edges.Count).ToArray();
            random.Shuffle(shuffle);
            var b = PermissionSolver.Solve(nodes, [.. shuffle.Select(i => edges[i])]);
            Assert.Equal(a.Conflict is null, b.Conflict is null);
            if (a.Conflict is not null)
            {
                continue;
            }

            solved++;
            for (var i = 0; i < edges.Count; i++)
            {
                Assert.Equal(a.Edges[shuffle[i]], b.Edges[i]);
                for (var j = 0; j < edges.Count; j++)
                {
                    if (i != j && edges[i].Child == edges[j].Child)
                    {
                        Assert.Equal(Permissions.None, a.Edges[i].Used & ~a.Edges[j].Shared);
                    }
                }
            }
        }

        Assert.InRange(solved, 500, 2900);
    }

    private static SolverNode Format(string name) => new(
        name, false, false, (role, parents) => DefaultPermissions.ForFormat(role, parents, (parents.Used & Permissions.Write) != 0));
}
