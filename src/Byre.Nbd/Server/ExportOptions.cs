using Byre.Nbd.Protocol;
using Byre.Nbd.Server.Contexts;
using Byre.Nodes;

namespace Byre.Nbd.Server;

/// <summary>The options that are about exports: LIST, INFO and GO, LIST_META_CONTEXT and SET_META_CONTEXT.</summary>
/// <param name="connection">The connection.</param>
/// <param name="state">What was negotiated.</param>
/// <param name="replies">Where replies go.</param>
internal sealed class ExportOptions(ServerConnection connection, HandshakeState state, OptionReplies replies)
{
    /// <summary>NBD_OPT_LIST.</summary>
    public void List(ReadOnlySpan<byte> data)
    {
        if (!data.IsEmpty)
        {
            replies.Fail(NbdOptionReply.ErrorInvalid, "the option takes no data");
            return;
        }

        foreach (var export in connection.Exports.List())
        {
            replies.AddExport(export.Name, export.Description);
        }

        replies.Acknowledge();
    }

    /// <summary>NBD_OPT_INFO and NBD_OPT_GO.</summary>
    /// <param name="data">The option's data.</param>
    /// <param name="isGo">GO: the client starts to use the export.</param>
    /// <returns>The export, where the option succeeded.</returns>
    public NbdExport? Describe(ReadOnlySpan<byte> data, bool isGo)
    {
        var reader = new OptionData(data);
        var name = reader.ReadText();
        var count = reader.ReadUInt16();
        if (reader.IsBroken || reader.Left != count * sizeof(ushort))
        {
            FailBroken(reader);
            return null;
        }

        bool wantsName = false, wantsState = false;
        while (!reader.IsAtEnd)
        {
            var info = (NbdInfo)reader.ReadUInt16();
            wantsName |= info == NbdInfo.Name;
            wantsState |= info == NbdInfo.InitialState;
        }

        var export = FindExport(name);
        if (export is null)
        {
            return null;
        }

        if (isGo && !connection.TryAttach(export))
        {
            FailUnknown(); // it has been removed since
            return null;
        }

        replies.AddInfo(new NbdExportInfo((ulong)export.Size, export.FlagsFor(state.Style, !isGo || state.ContextsOf(export).Count > 0)));
        replies.AddInfo(export.BlockSizeFor(connection.Options.MaxPayload));
        if (wantsName)
        {
            replies.AddInfo(NbdInfo.Name, export.Name);
        }

        if (export.Description is { } description)
        {
            replies.AddInfo(NbdInfo.Description, description);
        }

        if (wantsState && InitialStateOf(export) is var initial and not NbdInitialState.None)
        {
            replies.AddInfo(initial);
        }

        replies.Acknowledge();
        return export;
    }

    /// <summary>NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT.</summary>
    /// <param name="data">The option's data.</param>
    /// <param name="isSet">SET: what is found is selected.</param>
    public void Contexts(ReadOnlySpan<byte> data, bool isSet)
    {
        if (isSet)
        {
            state.Deselect(); // also where the option fails
        }

        if (state.Style == NbdHeaderStyle.Simple)
        {
            replies.Fail(NbdOptionReply.ErrorInvalid, "structured replies or extended headers come first");
            return;
        }

        var reader = new OptionData(data);
        var name = reader.ReadText();
        var count = reader.ReadUInt32();
        if (reader.IsBroken || count > reader.Left / sizeof(uint))
        {
            FailBroken(reader);
            return;
        }

        var queries = new string[count];
        for (var i = 0; i < queries.Length; i++)
        {
            queries[i] = reader.ReadText();
        }

        if (reader.IsBroken || !reader.IsAtEnd)
        {
            FailBroken(reader);
            return;
        }

        if (FindExport(name) is not { } export)
        {
            return;
        }

        var found = isSet ? export.Contexts.Select(queries) : export.Contexts.List(queries);
        if (isSet)
        {
            state.Select(export, found);
        }

        foreach (var context in found)
        {
            replies.AddContext(isSet ? context.Id : 0, context.Name);
        }

        replies.Acknowledge();
    }

    private NbdExport? FindExport(string name)
    {
        var export = connection.Exports.Find(name);
        if (export is null)
        {
            FailUnknown();
        }

        return export;
    }

    private void FailUnknown() => replies.Fail(NbdOptionReply.ErrorUnknown, "there is no such export");

    private void FailBroken(OptionData data)
    {
        if (data.IsTooLong)
        {
            replies.Fail(NbdOptionReply.ErrorTooBig, "a text is longer than 4096 bytes");
        }
        else
        {
            replies.Fail(NbdOptionReply.ErrorInvalid, "the option's data are not well formed");
        }
    }

    private NbdInitialState InitialStateOf(NbdExport export)
    {
        try
        {
            return InitialStateProbe.LookAsync(export.Source).AsTask().GetAwaiter().GetResult();
        }
        catch (Exception e) when (e is BlockException or ObjectDisposedException)
        {
            connection.Options.Log?.Invoke($"export '{export.Name}': its mapping could not be read: {e.Message}");
            return NbdInitialState.None; // nothing is promised
        }
    }
}
