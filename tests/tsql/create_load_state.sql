IF OBJECT_ID(N'[icesync].[load_state]') IS NULL
BEGIN
    BEGIN TRY
        CREATE TABLE [icesync].[load_state] (
            [target] nvarchar(300) NOT NULL CONSTRAINT [PK_load_state] PRIMARY KEY,
            [lake_table] nvarchar(600) NOT NULL,
            [table_uuid] nvarchar(36) NOT NULL,
            [snapshot_id] bigint NOT NULL,
            [sequence_number] bigint NOT NULL,
            [run_id] nvarchar(36) NOT NULL,
            [loaded_at] datetime2(3) NOT NULL,
            [inserted] bigint NOT NULL,
            [updated] bigint NOT NULL,
            [deleted] bigint NOT NULL,
            [unchanged] bigint NOT NULL
        );
    END TRY
    BEGIN CATCH
        IF OBJECT_ID(N'[icesync].[load_state]') IS NULL THROW;
    END CATCH;
END;
