using Byre.Nbd.Protocol;
using Byre.Nbd.Server.Contexts;

namespace Byre.Nbd.Server;

/// <summary>What a client has negotiated so far.</summary>
internal sealed class HandshakeState
{
    private MetaContextCatalog? catalog; // names the export too: one that took its place under its name has another
    private IReadOnlyList<MetaContext> contexts = [];

    /// <summary>The client reads replies to options.</summary>
    public bool IsFixedNewStyle { get; set; }

    /// <summary>The zeroes after the reply to EXPORT_NAME are left out.</summary>
    public bool NoZeroes { get; set; }

    /// <summary>The connection is secured by TLS.</summary>
    public bool IsSecure { get; set; }

    /// <summary>Structured replies are on.</summary>
    public bool HasStructuredReplies { get; set; }

    /// <summary>Extended headers are on.</summary>
    public bool HasExtendedHeaders { get; set; }

    /// <summary>The form of requests and replies.</summary>
    public NbdHeaderStyle Style =>
        HasExtendedHeaders ? NbdHeaderStyle.Extended : HasStructuredReplies ? NbdHeaderStyle.Structured : NbdHeaderStyle.Simple;

    /// <summary>The metadata contexts that were selected of an export; none where the last selection was of another one.</summary>
    public IReadOnlyList<MetaContext> ContextsOf(NbdExport export) =>
        ReferenceEquals(export.Contexts, catalog) ? contexts : [];

    /// <summary>Metadata contexts are selected; those selected before are no more.</summary>
    public void Select(NbdExport export, IReadOnlyList<MetaContext> selected)
    {
        catalog = export.Contexts;
        contexts = selected;
    }

    /// <summary>No metadata context is selected any more.</summary>
    public void Deselect()
    {
        catalog = null;
        contexts = [];
    }

    /// <summary>TLS has started: what was negotiated in the clear does not count (section "NBD_OPT_STARTTLS").</summary>
    public void StartSecure()
    {
        IsSecure = true;
        HasStructuredReplies = false;
        HasExtendedHeaders = false;
        Deselect();
    }
}
