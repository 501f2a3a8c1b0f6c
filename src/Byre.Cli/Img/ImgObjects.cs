using Byre.Blockdev;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>--object: things that drivers refer to by their id.</summary>
internal static class ImgObjects
{
    private static readonly string[] Types =
    [
        "authz-list", "authz-list-file", "authz-pam", "authz-simple", "iothread", "main-loop", "secret", "secret_keyring",
        "throttle-group", "tls-cipher-suites", "tls-creds-anon", "tls-creds-psk", "tls-creds-x509",
    ];

    /// <summary>Checks the definitions, and keeps the secrets among them for the images that the verb opens and makes.</summary>
    /// <exception cref="ImgFailure">One is not valid.</exception>
    public static void Load(ImgContext context, ImgArguments arguments) => Load(arguments.Values("object"), context.Secrets);

    /// <summary>Checks the definitions, and keeps the secrets among them.</summary>
    /// <exception cref="ImgFailure">One is not valid.</exception>
    public static void Load(IReadOnlyList<string> definitions, SecretStore secrets)
    {
        foreach (var (type, id, options) in Read(definitions))
        {
            if (type == "secret")
            {
                try
                {
                    secrets.Add(id, options);
                }
                catch (BlockException e)
                {
                    throw new ImgFailure($"--object: {e.Message}", 1, e);
                }
            }
        }
    }

    /// <summary>Reads definitions: "TYPE,id=ID,..." or JSON with "qom-type" and "id"; no id twice.</summary>
    /// <exception cref="ImgFailure">One is not valid.</exception>
    private static List<(string Type, string Id, Dictionary<string, string> Options)> Read(IReadOnlyList<string> definitions)
    {
        var result = new List<(string Type, string Id, Dictionary<string, string> Options)>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var definition in definitions)
        {
            var options = new Dictionary<string, string>(StringComparer.Ordinal);
            string? type;
            if (definition.StartsWith('{'))
            {
                OptionTree.AddJson(options, definition);
                type = options.GetValueOrDefault("qom-type");
            }
            else
            {
                var comma = definition.IndexOf(',', StringComparison.Ordinal);
                type = comma < 0 ? definition : definition[..comma];
                OptionTree.AddList(options, comma < 0 ? "" : definition[(comma + 1)..]);
                type = type.StartsWith("qom-type=", StringComparison.Ordinal) ? type[9..] : type;
            }

            if (type is null || Array.IndexOf(Types, type) < 0)
            {
                throw new ImgFailure($"--object: there is no object type '{type}'");
            }

            if (options.GetValueOrDefault("id") is not { Length: > 0 } id)
            {
                throw new ImgFailure($"--object: the '{type}' lacks an id");
            }

            if (!seen.Add(id))
            {
                throw new ImgFailure($"--object: the id '{id}' is there twice");
            }

            result.Add((type, id, options));
        }

        return result;
    }
}
