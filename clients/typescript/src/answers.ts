import type { components, operations } from "./schema.js";

type Schemas = components["schemas"];
type QueryOf<Name extends keyof operations> = NonNullable<operations[Name]["parameters"]["query"]>;

export type ClassifyQuery = QueryOf<"classify">;
export type DifficultyQuery = QueryOf<"difficulty">;
export type DuplicatesQuery = QueryOf<"duplicates">;
/** Of the picture of a pair. */
export type PictureQuery = Omit<DuplicatesQuery, "explain">;
export type EmbedQuery = QueryOf<"embed">;
export type SaliencyQuery = QueryOf<"saliency">;

/** What a triage can be asked for. */
export type Part = NonNullable<QueryOf<"triage">["include"]>[number];
/** `include` names the parts; without it the server chooses those that it has models for. */
export type TriageQuery<P extends Part = Part> = Omit<QueryOf<"triage">, "include"> & { include?: readonly P[] };
export type TriageBatchQuery<P extends Part = Part> = Omit<QueryOf<"triage_batch">, "include"> & {
  include?: readonly P[];
};

export type CreateQuery = QueryOf<"create_collection">;
export type AddQuery = Omit<QueryOf<"add_photo">, "id">;
export type AddBatchQuery = QueryOf<"add_photos">;
export type CollectionQuery = QueryOf<"query_collection">;
export type GroupsQuery = Omit<QueryOf<"collection_groups">, "after" | "limit">;
export type QueryBatchQuery = QueryOf<"query_photos">;
export type PhotoQuery = QueryOf<"collection_photo">;

export type AddBatchItem = Schemas["AddBatchItem"];
export type AddBatchResponse = Schemas["AddBatchResponse"];
export type AddResponse = Schemas["AddResponse"];
export type ChangedResponse = Schemas["ChangedResponse"];
export type CollectionInfo = Schemas["CollectionInfo"];
export type CollectionMatch = Schemas["CollectionMatch"];
export type CollectionPart = Schemas["CollectionPart"];
export type CollectionPhoto = Schemas["CollectionPhoto"];
export type CollectionQueryResponse = Schemas["CollectionQueryResponse"];
export type CollectionsResponse = Schemas["CollectionsResponse"];
export type NotDuplicates = Schemas["NotDuplicates"];
export type Outcome = AddResponse["outcome"];
export type PhotoGroup = Schemas["PhotoGroup"];
export type QueryBatchItem = Schemas["QueryBatchItem"];
export type QueryBatchResponse = Schemas["QueryBatchResponse"];

export type ClassifyResponse = Schemas["ClassifyResponse"];
export type DifficultyResponse = Schemas["DifficultyResponse"];
export type DuplicateEvidence = Schemas["DuplicateEvidence"];
export type DuplicatesResponse = Schemas["DuplicatesResponse"];
export type EmbedResponse = Schemas["EmbedResponse"];
export type Embedding = Schemas["Embedding"];
export type Explanation = Schemas["Explanation"];
export type Health = Schemas["Health"];
export type ModelInfo = Schemas["ModelInfo"];
export type ModelsResponse = Schemas["ModelsResponse"];
export type PairDecision = DuplicatesResponse["decision"];
export type Problem = Schemas["Problem"];
export type ReloadResponse = Schemas["ReloadResponse"];
export type SaliencyResponse = Schemas["SaliencyResponse"];
export type TriageResponse = Schemas["TriageResponse"];

/** Parts that were asked for by name: all of them are there, or a problem came in place of the answer. */
export type Triaged<P extends Part> = { [Name in P]: NonNullable<TriageResponse[Name]> } & {
  collection?: CollectionPart;
};

/** One image of a batch: its place, its name, and either its parts or, in `error`, why there are none. */
export type BatchItem<Parts = TriageResponse> = { index: number; filename: string } & (
  | (Parts & { error?: undefined })
  | ({ [Name in Part | "collection"]?: undefined } & { error: Problem })
);
