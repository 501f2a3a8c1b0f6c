namespace Byre.Nbd.Server.Contexts;

/// <summary>A metadata context that an export offers.</summary>
/// <param name="Id">Its number on the wire: the same for every client of an export.</param>
/// <param name="Name">Its name, as NBD_OPT_SET_META_CONTEXT selects it.</param>
/// <param name="Kind">What it tells.</param>
/// <param name="Bitmap">Of <see cref="MetaContextKind.DirtyBitmap"/>: which of the export's bitmaps; else -1.</param>
internal sealed record MetaContext(uint Id, string Name, MetaContextKind Kind, int Bitmap = -1);
