using Byre.Nodes;

namespace Byre.Graph;

/// <summary>
/// Decides whether what an image names is opened. No reference is followed only because an image says so: whoever opens an
/// image supplies a gate.
/// </summary>
public abstract class OpenGate
{
    /// <summary>Opens nothing: for looking at one image.</summary>
    public static OpenGate DenyAll { get; } = new FixedGate(OpenDecision.Deny("references are not followed here"));

    /// <summary>Opens everything: for images that their user trusts.</summary>
    public static OpenGate AllowAll { get; } = new FixedGate(OpenDecision.Allow());

    /// <summary>Decides.</summary>
    public abstract OpenDecision Decide(OpenRequest request);

    /// <summary>Decides, and throws where it may not be opened.</summary>
    /// <returns>The path to open, or null for what is no path.</returns>
    /// <exception cref="BlockException"><see cref="ErrorCode.AccessDenied"/>, with the reason.</exception>
    public string? Check(OpenRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        var decision = Decide(request);
        if (!decision.IsAllowed)
        {
            var what = request.Kind switch
            {
                OpenKind.Backing => "backing file",
                OpenKind.DataFile => "data file",
                _ => "extent file",
            };
            throw new BlockException(
                ErrorCode.AccessDenied,
                $"The {what} '{Printable(request.Name)}' of '{request.ReferencedBy}' is not opened: {decision.Reason}.",
                request.ReferencedBy);
        }

        return decision.Path ?? request.Path;
    }

    /// <summary>The name comes from an image that nobody trusts: no control characters, and not for ever.</summary>
    private static string Printable(string name)
    {
        var text = string.Create(Math.Min(name.Length, 200), name, static (span, name) =>
        {
            for (var i = 0; i < span.Length; i++)
            {
                span[i] = char.IsControl(name[i]) ? '?' : name[i];
            }
        });
        return name.Length > 200 ? text + "..." : text;
    }

    private sealed class FixedGate(OpenDecision decision) : OpenGate
    {
        public override OpenDecision Decide(OpenRequest request) => decision;
    }
}
