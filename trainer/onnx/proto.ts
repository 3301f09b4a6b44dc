/** The part of ONNX's protobuf schema that we read and write: field names and numbers of onnx.proto (ONNX IR specification, version 10). */
import protobuf from 'protobufjs/light.js'

type Field = readonly [type: string, id: number, rule?: 'repeated']

function message(fields: Record<string, Field>) {
  return {
    fields: Object.fromEntries(
      Object.entries(fields).map(([name, [type, id, rule]]) => [
        name,
        { type, id, ...(rule && { rule }), options: { packed: isNumber(type) } },
      ]),
    ),
  }
}

const isNumber = (type: string) => ['int32', 'int64', 'uint64', 'float', 'double'].includes(type)

export const root = protobuf.Root.fromJSON({
  nested: {
    onnx: {
      nested: {
        OperatorSetId: message({ domain: ['string', 1], version: ['int64', 2] }),
        StringStringEntry: message({ key: ['string', 1], value: ['string', 2] }),
        ExternalData: message({ key: ['string', 1], value: ['string', 2] }),
        Tensor: message({
          dims: ['int64', 1, 'repeated'],
          dataType: ['int32', 2],
          floatData: ['float', 4, 'repeated'],
          int32Data: ['int32', 5, 'repeated'],
          stringData: ['bytes', 6, 'repeated'],
          int64Data: ['int64', 7, 'repeated'],
          name: ['string', 8],
          rawData: ['bytes', 9],
          doubleData: ['double', 10, 'repeated'],
          uint64Data: ['uint64', 11, 'repeated'],
          externalData: ['StringStringEntry', 13, 'repeated'],
          dataLocation: ['int32', 14],
        }),
        Attribute: message({
          name: ['string', 1],
          f: ['float', 2],
          i: ['int64', 3],
          s: ['bytes', 4],
          t: ['Tensor', 5],
          g: ['Graph', 6],
          floats: ['float', 7, 'repeated'],
          ints: ['int64', 8, 'repeated'],
          strings: ['bytes', 9, 'repeated'],
          type: ['int32', 20],
          refAttrName: ['string', 21],
        }),
        Node: message({
          input: ['string', 1, 'repeated'],
          output: ['string', 2, 'repeated'],
          name: ['string', 3],
          opType: ['string', 4],
          attribute: ['Attribute', 5, 'repeated'],
          docString: ['string', 6],
          domain: ['string', 7],
        }),
        Dimension: message({ dimValue: ['int64', 1], dimParam: ['string', 2] }),
        Shape: message({ dim: ['Dimension', 1, 'repeated'] }),
        TensorType: message({ elemType: ['int32', 1], shape: ['Shape', 2] }),
        Type: message({ tensorType: ['TensorType', 1] }),
        ValueInfo: message({ name: ['string', 1], type: ['Type', 2] }),
        Graph: message({
          node: ['Node', 1, 'repeated'],
          name: ['string', 2],
          initializer: ['Tensor', 5, 'repeated'],
          input: ['ValueInfo', 11, 'repeated'],
          output: ['ValueInfo', 12, 'repeated'],
          valueInfo: ['ValueInfo', 13, 'repeated'],
          // Not taken apart: only to tell that there are some.
          sparseInitializer: ['bytes', 15, 'repeated'],
        }),
        Model: message({
          irVersion: ['int64', 1],
          producerName: ['string', 2],
          producerVersion: ['string', 3],
          graph: ['Graph', 7],
          opsetImport: ['OperatorSetId', 8, 'repeated'],
          metadataProps: ['StringStringEntry', 14, 'repeated'],
          functions: ['bytes', 25, 'repeated'],
        }),
      },
    },
  },
})

export const Model = root.lookupType('onnx.Model')
export const Tensor = root.lookupType('onnx.Tensor')
