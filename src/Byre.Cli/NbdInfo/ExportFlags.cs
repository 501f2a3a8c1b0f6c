using Byre.Nbd.Client;
using Byre.Nbd.Protocol;

namespace Byre.Cli.NbdInfo;

/// <summary>What an export can do, in nbdinfo's words and order.</summary>
internal static class ExportFlags
{
    /// <summary>What is printed with yes in green and no in red.</summary>
    public static IReadOnlyList<(string Name, NbdTransmissionFlags Flag)> Abilities { get; } =
    [
        ("can_cache", NbdTransmissionFlags.SendCache),
        ("can_df", NbdTransmissionFlags.SendDontFragment),
        ("can_fast_zero", NbdTransmissionFlags.SendFastZero),
        ("can_flush", NbdTransmissionFlags.SendFlush),
        ("can_fua", NbdTransmissionFlags.SendFua),
        ("can_multi_conn", NbdTransmissionFlags.CanMultiConn),
        ("can_trim", NbdTransmissionFlags.SendTrim),
        ("can_zero", NbdTransmissionFlags.SendWriteZeroes),
    ];

    /// <summary>Answers --is and --can.</summary>
    /// <param name="question">A word such as "fast-zero"; capitals and "_" for "-" are as good.</param>
    /// <param name="client">A connection to the export.</param>
    /// <returns>Null: nothing is known by that word.</returns>
    public static bool? Answer(string question, NbdClient client)
    {
        bool Has(NbdTransmissionFlags flag) => (client.Flags & flag) != 0;
        switch (question.ToLowerInvariant().Replace('_', '-'))
        {
            case "connect" or "read":
                return true;
            case "tls":
                return client.IsTls;
            case "sr" or "structured" or "structured-reply" or "structured-replies" or "structured reply" or "structured replies":
                return client.HeaderStyle != NbdHeaderStyle.Simple;
            case "extended-headers":
                return client.HeaderStyle == NbdHeaderStyle.Extended;
            case "rotational":
                return Has(NbdTransmissionFlags.Rotational);
            case "read-only" or "readonly":
                return Has(NbdTransmissionFlags.ReadOnly);
            case "write":
                return !Has(NbdTransmissionFlags.ReadOnly);
            case "init-sparse":
                return (client.InitialState & NbdInitialState.Sparse) is NbdInitialState.Sparse;
            case "init-zero":
                return (client.InitialState & NbdInitialState.Zero) is NbdInitialState.Zero;
            case "multiconn":
                return Has(NbdTransmissionFlags.CanMultiConn);
            case "fastzero":
                return Has(NbdTransmissionFlags.SendFastZero);
            case var word:
                foreach (var (name, flag) in Abilities)
                {
                    if (name.AsSpan(4).SequenceEqual(word.Replace('-', '_')))
                    {
                        return Has(flag);
                    }
                }

                return null;
        }
    }
}
