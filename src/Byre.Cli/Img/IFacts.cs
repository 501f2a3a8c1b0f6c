namespace Byre.Cli.Img;

/// <summary>Takes named facts, in lists and groups.</summary>
internal interface IFacts
{
    /// <summary>Adds a text.</summary>
    void Add(string name, string value);

    /// <summary>Adds true or false.</summary>
    void Add(string name, bool value);

    /// <summary>Adds a number.</summary>
    void Add(string name, long value);

    /// <summary>Begins a group.</summary>
    void Begin(string name);

    /// <summary>Ends a group.</summary>
    void End();

    /// <summary>Begins a list.</summary>
    void BeginList(string name);

    /// <summary>Begins a group that is an item of a list.</summary>
    void BeginItem(int index);

    /// <summary>Ends that group.</summary>
    void EndItem();

    /// <summary>Adds a text that is an item of a list.</summary>
    void AddItem(int index, string value);

    /// <summary>Ends a list.</summary>
    void EndList();
}
