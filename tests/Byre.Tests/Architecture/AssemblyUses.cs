using System.Collections.Immutable;
using System.Reflection.Emit;
using System.Reflection.Metadata;
using System.Reflection.Metadata.Ecma335;
using System.Reflection.PortableExecutable;

namespace Byre.Tests.Architecture;

/// <summary>
/// Which type uses which, read from an assembly's metadata: base types, interfaces, fields, signatures, and what the
/// instructions of its methods name. A nested type counts as its outermost type.
/// </summary>
internal sealed class AssemblyUses
{
    private static readonly Dictionary<short, OpCode> OpCodesByValue = typeof(OpCodes).GetFields()
        .Select(field => (OpCode)field.GetValue(null)!).ToDictionary(code => code.Value);

    private readonly MetadataReader metadata;
    private readonly HashSet<(string From, string To)> uses = [];

    private AssemblyUses(PEReader file)
    {
        metadata = file.GetMetadataReader();
        foreach (var handle in metadata.TypeDefinitions)
        {
            Scan(file, metadata.GetTypeDefinition(handle), NameOf(handle));
        }
    }

    /// <summary>Every pair of full type names where the first uses the second, without uses of itself.</summary>
    public IReadOnlyCollection<(string From, string To)> Uses => uses;

    public static AssemblyUses Read(string path)
    {
        using var file = new PEReader(File.OpenRead(path));
        return new AssemblyUses(file);
    }

    /// <summary>The simple names of the assemblies that an assembly refers to.</summary>
    public static IReadOnlyList<string> References(string path)
    {
        using var file = new PEReader(File.OpenRead(path));
        var metadata = file.GetMetadataReader();
        return [.. metadata.AssemblyReferences.Select(handle => metadata.GetString(metadata.GetAssemblyReference(handle).Name))];
    }

    private void Scan(PEReader file, TypeDefinition type, string name)
    {
        var names = new SignatureNames(this);
        AddHandle(name, type.BaseType);
        foreach (var handle in type.GetInterfaceImplementations())
        {
            AddHandle(name, metadata.GetInterfaceImplementation(handle).Interface);
        }

        foreach (var handle in type.GetFields())
        {
            AddAll(name, metadata.GetFieldDefinition(handle).DecodeSignature(names, null));
        }

        foreach (var handle in type.GetMethods())
        {
            var method = metadata.GetMethodDefinition(handle);
            AddSignature(name, method.DecodeSignature(names, null));
            if (method.RelativeVirtualAddress != 0)
            {
                var body = file.GetMethodBody(method.RelativeVirtualAddress);
                if (!body.LocalSignature.IsNil)
                {
                    foreach (var local in metadata.GetStandaloneSignature(body.LocalSignature).DecodeLocalSignature(names, null))
                    {
                        AddAll(name, local);
                    }
                }

                ScanInstructions(name, body.GetILReader());
            }
        }
    }

    private void ScanInstructions(string name, BlobReader code)
    {
        while (code.RemainingBytes > 0)
        {
            short value = code.ReadByte();
            if (value == 0xfe)
            {
                value = (short)(0xfe00 | code.ReadByte());
            }

            switch (OpCodesByValue[value].OperandType)
            {
                case OperandType.InlineField or OperandType.InlineMethod or OperandType.InlineTok or OperandType.InlineType:
                    AddHandle(name, MetadataTokens.EntityHandle(code.ReadInt32()));
                    break;
                case OperandType.InlineSwitch:
                    var targets = code.ReadInt32();
                    code.Offset += 4 * targets;
                    break;
                case OperandType.InlineNone:
                    break;
                case OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar:
                    code.Offset += 1;
                    break;
                case OperandType.InlineVar:
                    code.Offset += 2;
                    break;
                case OperandType.InlineI8 or OperandType.InlineR:
                    code.Offset += 8;
                    break;
                default:
                    code.Offset += 4;
                    break;
            }
        }
    }

    private void AddHandle(string from, EntityHandle handle)
    {
        if (handle.IsNil)
        {
            return;
        }

        var names = new SignatureNames(this);
        switch (handle.Kind)
        {
            case HandleKind.TypeDefinition or HandleKind.TypeReference:
                Add(from, NameOf(handle));
                break;
            case HandleKind.TypeSpecification:
                AddAll(from, metadata.GetTypeSpecification((TypeSpecificationHandle)handle).DecodeSignature(names, null));
                break;
            case HandleKind.FieldDefinition:
                Add(from, NameOf(metadata.GetFieldDefinition((FieldDefinitionHandle)handle).GetDeclaringType()));
                break;
            case HandleKind.MethodDefinition:
                Add(from, NameOf(metadata.GetMethodDefinition((MethodDefinitionHandle)handle).GetDeclaringType()));
                break;
            case HandleKind.MemberReference:
                AddHandle(from, metadata.GetMemberReference((MemberReferenceHandle)handle).Parent);
                break;
            case HandleKind.MethodSpecification:
                var instance = metadata.GetMethodSpecification((MethodSpecificationHandle)handle);
                AddHandle(from, instance.Method);
                foreach (var argument in instance.DecodeSignature(names, null))
                {
                    AddAll(from, argument);
                }

                break;
        }
    }

    private void AddSignature(string from, MethodSignature<ImmutableArray<string>> signature)
    {
        AddAll(from, signature.ReturnType);
        foreach (var parameter in signature.ParameterTypes)
        {
            AddAll(from, parameter);
        }
    }

    private void AddAll(string from, ImmutableArray<string> names)
    {
        foreach (var name in names)
        {
            Add(from, name);
        }
    }

    private void Add(string from, string to)
    {
        if (from != to)
        {
            uses.Add((from, to));
        }
    }

    /// <summary>The full name of the outermost type around a type.</summary>
    private string NameOf(EntityHandle handle)
    {
        if (handle.Kind == HandleKind.TypeDefinition)
        {
            var type = metadata.GetTypeDefinition((TypeDefinitionHandle)handle);
            var outer = type.GetDeclaringType();
            return outer.IsNil ? Join(type.Namespace, type.Name) : NameOf(outer);
        }

        var reference = metadata.GetTypeReference((TypeReferenceHandle)handle);
        return reference.ResolutionScope.Kind == HandleKind.TypeReference
            ? NameOf(reference.ResolutionScope)
            : Join(reference.Namespace, reference.Name);
    }

    private string Join(StringHandle space, StringHandle name) => $"{metadata.GetString(space)}.{metadata.GetString(name)}";

    /// <summary>Every type that a signature names.</summary>
    private sealed class SignatureNames(AssemblyUses owner) : ISignatureTypeProvider<ImmutableArray<string>, object?>
    {
        public ImmutableArray<string> GetArrayType(ImmutableArray<string> elementType, ArrayShape shape) => elementType;

        public ImmutableArray<string> GetByReferenceType(ImmutableArray<string> elementType) => elementType;

        public ImmutableArray<string> GetFunctionPointerType(MethodSignature<ImmutableArray<string>> signature) =>
            [.. signature.ReturnType, .. signature.ParameterTypes.SelectMany(names => names)];

        public ImmutableArray<string> GetGenericInstantiation(ImmutableArray<string> genericType, ImmutableArray<ImmutableArray<string>> typeArguments) =>
            [.. genericType, .. typeArguments.SelectMany(names => names)];

        public ImmutableArray<string> GetGenericMethodParameter(object? genericContext, int index) => [];

        public ImmutableArray<string> GetGenericTypeParameter(object? genericContext, int index) => [];

        public ImmutableArray<string> GetModifiedType(ImmutableArray<string> modifier, ImmutableArray<string> unmodifiedType, bool isRequired) =>
            [.. modifier, .. unmodifiedType];

        public ImmutableArray<string> GetPinnedType(ImmutableArray<string> elementType) => elementType;

        public ImmutableArray<string> GetPointerType(ImmutableArray<string> elementType) => elementType;

        public ImmutableArray<string> GetPrimitiveType(PrimitiveTypeCode typeCode) => [];

        public ImmutableArray<string> GetSZArrayType(ImmutableArray<string> elementType) => elementType;

        public ImmutableArray<string> GetTypeFromDefinition(MetadataReader reader, TypeDefinitionHandle handle, byte rawTypeKind) => [owner.NameOf(handle)];

        public ImmutableArray<string> GetTypeFromReference(MetadataReader reader, TypeReferenceHandle handle, byte rawTypeKind) => [owner.NameOf(handle)];

        public ImmutableArray<string> GetTypeFromSpecification(MetadataReader reader, object? genericContext, TypeSpecificationHandle handle, byte rawTypeKind) =>
            reader.GetTypeSpecification(handle).DecodeSignature(this, genericContext);
    }
}
