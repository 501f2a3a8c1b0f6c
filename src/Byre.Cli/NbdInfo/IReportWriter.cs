namespace Byre.Cli.NbdInfo;

/// <summary>Prints reports as they come.</summary>
internal interface IReportWriter
{
    /// <summary>The server was reached.</summary>
    void Begin(ServerReport server);

    /// <summary>An export of it.</summary>
    void Add(ExportReport export);

    /// <summary>There are no more.</summary>
    void End();
}
