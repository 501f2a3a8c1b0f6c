using Byre.Blockdev.Create;
using Byre.Formats.Luks;
using Byre.Nodes;

namespace Byre.Blockdev;

/// <summary>Creates images. A plan is made first, so that a tool can show it.</summary>
public static class ImageCreator
{
    /// <summary>Checks a request and looks at the backing file. Creates nothing.</summary>
    /// <param name="request">What is to be created.</param>
    /// <exception cref="BlockException">An option is unknown or has no value of its kind, no size is known, or the backing file cannot be opened.</exception>
    public static ValueTask<CreatePlan> PlanAsync(ImageCreateRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        return CreatePlanner.PlanAsync(request);
    }

    /// <summary>Creates an image; it is complete when this returns. An image that is there already is replaced, unless it is in use.</summary>
    /// <param name="plan">The plan.</param>
    /// <exception cref="BlockException">Values contradict each other (nothing is touched then), or the file cannot be written (a new one is removed).</exception>
    public static ValueTask CreateAsync(CreatePlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        return plan.Format switch
        {
            "raw" or "file" => RawCreation.CreateAsync(plan),
            "luks" => LuksCreation.CreateAsync(plan),
            "qcow2" => Qcow2Creation.CreateAsync(plan),
            _ => throw new BlockException(ErrorCode.NotSupported, $"Images of the format '{plan.Format}' cannot be created"),
        };
    }

    /// <summary>How a planned image is to be encrypted; null where it is not.</summary>
    /// <exception cref="BlockException">The plan's values for that are not valid, or its passphrase is not there.</exception>
    public static LuksCreateOptions? EncryptionOf(CreatePlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        return plan.Format switch
        {
            "luks" => LuksCreation.OptionsOf(plan, ""),
            "qcow2" => Qcow2Creation.EncryptionOf(plan),
            _ => null,
        };
    }

    /// <summary>Plans and creates an image.</summary>
    /// <param name="request">What is to be created.</param>
    /// <exception cref="BlockException">As <see cref="PlanAsync"/> and <see cref="CreateAsync(CreatePlan)"/>.</exception>
    public static async ValueTask CreateAsync(ImageCreateRequest request) =>
        await CreateAsync(await PlanAsync(request).ConfigureAwait(false)).ConfigureAwait(false);
}
