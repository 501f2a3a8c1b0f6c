using System.Globalization;
using System.Text;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>The table of internal snapshots, to the letter as qemu-img prints it.</summary>
internal static class SnapshotText
{
    /// <summary>Adds the table.</summary>
    /// <param name="text">Where.</param>
    /// <param name="snapshots">The snapshots; without any nothing is added.</param>
    /// <param name="indent">Spaces before each line.</param>
    public static void Add(StringBuilder text, IReadOnlyList<SnapshotInfo> snapshots, int indent)
    {
        if (snapshots.Count == 0)
        {
            return;
        }

        text.Append(' ', indent).Append("Snapshot list:\n");
        Row(text, indent, "ID", "TAG", "VM_SIZE", "DATE", "VM_CLOCK", "ICOUNT");
        foreach (var s in snapshots)
        {
            var date = DateTimeOffset.FromUnixTimeSeconds(s.DateSeconds).ToLocalTime();
            var milliseconds = s.VmClockNanoseconds / 1_000_000;
            var seconds = milliseconds / 1000;
            Row(
                text,
                indent,
                s.Id,
                s.Name,
                HumanSize.Of((long)Math.Min(s.VmStateSize, long.MaxValue)),
                date.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture),
                string.Create(CultureInfo.InvariantCulture, $"{seconds / 3600:D4}:{seconds / 60 % 60:D2}:{seconds % 60:D2}.{milliseconds % 1000:D3}"),
                s.Icount?.ToString(CultureInfo.InvariantCulture) ?? "--");
        }
    }

    private static void Row(StringBuilder text, int indent, string id, string tag, string size, string date, string clock, string icount) => text
        .Append(' ', indent)
        .Append(CultureInfo.InvariantCulture, $"{PlainText.LineOf(id),-7} {PlainText.LineOf(tag),-16} {size,8} {date,19} {clock,15} {icount,10}\n");
}
