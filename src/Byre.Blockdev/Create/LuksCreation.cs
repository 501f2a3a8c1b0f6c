using System.Globalization;
using Byre.Crypto;
using Byre.Formats.Luks;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Blockdev.Create;

/// <summary>Creates LUKS volumes, and reads how an image is to be encrypted.</summary>
internal static class LuksCreation
{
    /// <summary>Creates one.</summary>
    public static async ValueTask CreateAsync(CreatePlan plan)
    {
        var options = OptionsOf(plan, "");
        if (plan.Find("detached-header") is "on")
        {
            throw new BlockException(ErrorCode.NotSupported, "A LUKS header apart from its disk (detached-header) is not supported");
        }

        var preallocation = RawCreation.PreallocationOf(plan);
        if (preallocation == Preallocation.Metadata)
        {
            throw new BlockException(ErrorCode.Invalid, "A LUKS volume has no metadata to preallocate: preallocation is off, falloc or full");
        }

        LuksFormatter.Validate(options);
        var size = FileCreation.RoundUp(plan.Size);
        var file = await FileCreation.BeginAsync(new BlockGraph(), plan.FileName, plan).ConfigureAwait(false);
        await using (file.ConfigureAwait(false))
        {
            await LuksNode.CreateAsync(file.Edge, size, preallocation, options).ConfigureAwait(false);
            await file.CompleteAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The typed options of a plan.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="prefix">What stands before their names: "encrypt." or nothing.</param>
    /// <exception cref="BlockException">A value is none of those allowed, or there is no passphrase.</exception>
    public static LuksCreateOptions OptionsOf(CreatePlan plan, string prefix)
    {
        var id = plan.Find(prefix + "key-secret")
            ?? throw new BlockException(ErrorCode.Invalid, $"Encryption needs a passphrase: '{prefix}key-secret' names no secret");
        var passphrase = plan.Secrets is { } secrets ? secrets.Passphrase(id)
            : throw new BlockException(ErrorCode.NotFound, $"No secret with id '{id}'");
        var result = new LuksCreateOptions { Passphrase = passphrase, Cipher = CipherOf(plan, prefix) };
        if (plan.Find(prefix + "hash-alg") is { } hash)
        {
            result = result with { Hash = CryptoNames.ParseHash(hash) };
        }

        return plan.Find(prefix + "iter-time") is { } time
            ? result with { IterationMilliseconds = long.Parse(time, CultureInfo.InvariantCulture) }
            : result;
    }

    /// <summary>How sectors are to be encrypted.</summary>
    public static CipherSpec CipherOf(CreatePlan plan, string prefix)
    {
        var spec = CipherSpec.Default;
        spec = plan.Find(prefix + "cipher-alg") is { } cipher ? spec with { Cipher = CryptoNames.ParseCipher(cipher) } : spec;
        spec = plan.Find(prefix + "cipher-mode") is { } mode ? spec with { Mode = CryptoNames.ParseMode(mode) } : spec;
        spec = plan.Find(prefix + "ivgen-alg") is { } iv ? spec with { Iv = CryptoNames.ParseIv(iv) } : spec;
        var hash = plan.Find(prefix + "ivgen-hash-alg") is { } name ? CryptoNames.ParseHash(name) : (HashKind?)null;
        spec = spec with { IvHash = spec.Iv == IvKind.Essiv ? hash ?? HashKind.Sha256 : null };
        spec.Validate();
        return spec;
    }
}
