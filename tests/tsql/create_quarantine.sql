IF OBJECT_ID(N'[icesync].[quarantine]') IS NULL
BEGIN
    BEGIN TRY
        CREATE TABLE [icesync].[quarantine] (
            [target] nvarchar(300) NOT NULL,
            [id] bigint IDENTITY(1,1) NOT NULL,
            [lake_table] nvarchar(600) NOT NULL,
            [snapshot_id] bigint NOT NULL,
            [sequence_number] bigint NOT NULL,
            [run_id] nvarchar(36) NOT NULL,
            [key] nvarchar(max) NOT NULL,
            [operation] nvarchar(1) NOT NULL,
            [error_number] int NOT NULL,
            [error_message] nvarchar(4000) NOT NULL,
            [row] nvarchar(max) NOT NULL,
            [quarantined_at] datetime2(3) NOT NULL,
            CONSTRAINT [PK_quarantine] PRIMARY KEY ([target], [id])
        );
    END TRY
    BEGIN CATCH
        IF OBJECT_ID(N'[icesync].[quarantine]') IS NULL THROW;
    END CATCH;
END;
