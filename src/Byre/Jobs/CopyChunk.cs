using System.Buffers;

namespace Byre.Jobs;

/// <summary>What a worker does in one go.</summary>
/// <param name="Sequence">Its number in the order of the offsets, from 0.</param>
/// <param name="Segment">The range; skipped ones are never handed out.</param>
/// <param name="Content">Its bytes where they are read already, at the buffer's front; the worker gives the buffer back.</param>
internal readonly record struct CopyChunk(long Sequence, CopySegment Segment, IMemoryOwner<byte>? Content = null);
