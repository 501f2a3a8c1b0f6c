using Byre.Blockdev;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>--object: things that drivers refer to by their id.</summary>
internal static class ImgObjects
{
    /// <summary>Keeps the objects that are defined for the images that the verb opens and makes.</summary>
    /// <exception cref="ImgFailure">One is not valid.</exception>
    public static void Load(ImgContext context, ImgArguments arguments) => Load(arguments.Values("object"), context.Objects);

    /// <summary>Keeps the objects that are defined.</summary>
    /// <exception cref="ImgFailure">One is not valid.</exception>
    public static void Load(IReadOnlyList<string> definitions, ObjectStore objects)
    {
        foreach (var definition in definitions)
        {
            try
            {
                objects.Add(definition);
            }
            catch (BlockException e)
            {
                throw new ImgFailure($"--object: {e.Message}", 1, e);
            }
        }
    }
}
