namespace Byre.Fuzz;

/// <summary>Tests of what is allocated: nothing else runs beside them, as the runtime counts for the whole process.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AloneCollection
{
    /// <summary>The collection's name.</summary>
    public const string Name = "alone";
}
