namespace Byre.Cli;

/// <summary>What the program says of itself.</summary>
internal static class Product
{
    /// <summary>The version, "1.2.3".</summary>
    public static string Version => typeof(Product).Assembly.GetName().Version?.ToString(3) ?? "0";
}
